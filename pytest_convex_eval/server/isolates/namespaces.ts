/**
 * A second wall around isolates, where the kernel lets anybody have one: a network of their own without any interface
 * (https://man7.org/linux/man-pages/man7/network_namespaces.7.html). What reaches a socket past the first one has
 * nobody to send to.
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/** By their full paths: the server's own environment need not have any. */
const PROGRAMS = ["/usr/bin/unshare", "/bin/unshare"];
const FLAGS = ["--user", "--net", "--"];

let found: string[] | null = null;

/** What a command is begun with that is to have no network; empty where there is no such thing. */
export function withoutNetwork(): string[] {
  if (found !== null) return found;
  const program = PROGRAMS.find((each) => existsSync(each));
  const works =
    program !== undefined && spawnSync(program, [...FLAGS, "/bin/sh", "-c", ":"]).status === 0;
  found = works ? [program, ...FLAGS] : [];
  return found;
}
