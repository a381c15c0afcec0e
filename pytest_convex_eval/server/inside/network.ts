/**
 * Sockets, closed. Node's permission model leaves the network open (Node 24), so that what opens a socket is replaced
 * on the prototypes themselves: whichever way code comes to a class, its instances can't connect.
 */

import { argv, getBuiltinModule } from "./own_node.ts";

/** Whether sockets are pushed code's own business: a deployment that was started to be online. */
export const IS_OPEN = argv.includes("--open");

export function noNetwork(): never {
  throw new Error("The network is unavailable to pushed code");
}

/** From now on no socket can be opened: neither by a builtin nor by a global (`WebSocket`) that is made of one. */
export function closeNetwork() {
  if (IS_OPEN) return;
  const net = getBuiltinModule("node:net");
  net.Socket.prototype.connect = noNetwork;
  net.Server.prototype.listen = noNetwork;
}

/** The same for datagrams, which only "use node" modules could have. */
export function closeDatagrams() {
  if (IS_OPEN) return;
  const { Socket } = getBuiltinModule("node:dgram");
  for (const [name, { value }] of Object.entries(
    Object.getOwnPropertyDescriptors(Socket.prototype),
  ))
    if (typeof value === "function" && name !== "constructor")
      Object.defineProperty(Socket.prototype, name, { value: noNetwork, configurable: true });
}
