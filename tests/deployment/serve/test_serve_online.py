"""What only a server with a network does: packages from npm, keys of identity providers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Bundle, MakeProject, NpmInstall, OfVersion, PushOverHttp
from tests.patience import HANG_SECONDS, until

if TYPE_CHECKING:
    from tests.deployment.issuer import Issuer
    from tests.deployment.serve.conftest import Convex, Serve

NODE_ACTIONS = """"use node";
import ms from "ms";
import { customAlphabet } from "nanoid";
import { sep } from "node:path";
import { action } from "./_generated/server";
const day = ms("1d");
export const use = action({ args: {}, handler: async () =>
  [day, customAlphabet("a", 5)(), sep, (await import("ms")).default("2h")] });
export const reach = action({ args: {}, handler: async () =>
  (await import("ms")).default.constructor("return process")().env.HOME ?? null });
"""
CONFIG = {"node": {"externalPackages": ["ms", "nanoid"]}}


def test_external_packages_are_installed_and_kept(
    serve: Serve,
    convex: Convex,
    make_project: MakeProject,
    npm_install: NpmInstall,
    tmp_path: Path,
) -> None:
    modules = npm_install("convex@1.48.0", "ms@2.1.3", "nanoid@5.1.5")
    project = make_project({"convex/n.ts": NODE_ACTIONS}, modules=modules)
    (project / "convex.json").write_text(json.dumps(CONFIG))
    dependencies = {"convex": "*", "ms": "2.1.3", "nanoid": "5.1.5"}
    (project / "package.json").write_text(json.dumps({"dependencies": dependencies}))
    data = tmp_path / "data"
    served = serve("--data", str(data))
    done = convex(project, served, "dev", "--once", "--typecheck", "disable")
    assert done.ok, done.stdout + done.stderr
    expected = [86_400_000, "aaaaa", "/", 7_200_000]
    assert served.value("action", "n:use") == expected
    assert served.value("action", "n:reach") is None
    (installed,) = (data / "packages").iterdir()
    assert {each.name for each in (installed / "node_modules").iterdir()} >= {"ms", "nanoid"}
    served.kill()
    served = serve("--data", str(data))
    assert served.value("action", "n:use") == expected
    done = convex(project, served, "dev", "--once", "--typecheck", "disable")
    assert done.ok, done.stdout + done.stderr
    assert served.value("action", "n:use") == expected
    assert list((data / "packages").iterdir()) == [installed], "there is nothing new to install"


SOCKETS = """"use node";
import { createRequire } from "node:module";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { action } from "./_generated/server";
import { v } from "convex/values";
const args = { url: v.string() };
const got = (url: string) => new Promise<string>((done, fail) => http.get(url, (response) => {
  let text = ""; response.on("data", (part) => text += part).on("end", () => done(text));
}).on("error", fail));
export const ask = action({ args, handler: (_, { url }) => got(url) });
export const connect = action({ args, handler: async (_, { url }) => {
  const net = createRequire(import.meta.url)("net");
  const { port, hostname } = new URL(url);
  return await new Promise((done, fail) => {
    const socket = net.connect(Number(port), hostname, () => { socket.destroy(); done(true); });
    socket.on("error", fail);
  });
} });
export const write = action({ args: {}, handler: async () => {
  const file = path.join(os.tmpdir(), "kept");
  const before = fs.existsSync(file);
  fs.writeFileSync(file, "of an action");
  return [before, fs.readFileSync(file, "utf8"), os.tmpdir()];
} });
export const others = action({ args: { folder: v.string() }, handler: async (_, { folder }) =>
  [() => fs.readFileSync("/etc/hosts"), () => fs.writeFileSync(path.join(folder, "x"), "x"),
    () => fs.readdirSync(folder), () => createRequire("/x.js")("child_process").execSync("true"),
    () => fs.writeFileSync(path.join(os.tmpdir(), "..", "x"), "x")].map((reach) => {
    try { reach(); return "reached"; }
    catch (error: any) { return error.code ?? error.message; } }) });
"""
PLAIN = """
import { action } from "./_generated/server";
export const reach = action({ args: {},
  handler: async () => typeof (globalThis as any).WebSocket });
"""


def test_node_actions_have_sockets_and_a_folder_of_their_own(
    serve: Serve, bundle: Bundle, issuer: Issuer, tmp_path: Path
) -> None:
    served = serve()
    served.push(bundle({"convex/n.ts": SOCKETS, "convex/a.ts": PLAIN}))
    url = f"{issuer.url}/keys"
    assert json.loads(served.value("action", "n:ask", {"url": url})) == issuer.answers["/keys"]
    assert served.value("action", "n:connect", {"url": url}) is True
    before, text, folder = served.value("action", "n:write")
    assert (before, text) == (False, "of an action")
    assert Path(folder, "kept").read_text() == "of an action"
    denied = served.value("action", "n:others", {"folder": str(tmp_path)})
    no_processes = "Processes and threads are unavailable to pushed code"
    assert denied == [*["ERR_ACCESS_DENIED"] * 3, no_processes, "ERR_ACCESS_DENIED"]
    assert served.value("action", "a:reach") == "undefined"
    served.calls.client.post("/api/convex_eval/reset")
    # It ends with the process that it was for.
    until(lambda: not Path(folder).exists(), "the end of the folder")
    served.push(bundle({"convex/n.ts": SOCKETS}, name="again"))
    *_, folder = served.value("action", "n:write")
    served.popen.terminate()
    served.popen.communicate(timeout=HANG_SECONDS)
    assert not Path(folder).exists()


def test_an_evals_node_actions_have_neither(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
    issuer: Issuer,
) -> None:
    assert push_over_http(bundle({"convex/n.ts": SOCKETS})).status == 200
    for name in ("ask", "connect"):
        error = deployment.action(f"n:{name}", {"url": f"{issuer.url}/keys"}).error
        assert "The network is unavailable to pushed code" in str(error)
    assert issuer.asked == []
    assert deployment.action("n:write").error is not None


def test_a_package_that_is_not_there_is_refused(
    serve: Serve,
    convex: Convex,
    make_project: MakeProject,
    npm_install: NpmInstall,
    tmp_path: Path,
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    for each in npm_install("convex@1.48.0").iterdir():
        (modules / each.name).symlink_to(each)
    # What the project has at hand is of a version that nobody has published.
    shutil.copytree(npm_install("convex@1.48.0", "ms@2.1.3", "nanoid@5.1.5") / "ms", modules / "ms")
    (modules / "ms" / "package.json").write_text('{"name": "ms", "version": "0.0.987654321"}')
    text = '"use node";\nimport ms from "ms";\nimport { action } from "./_generated/server";\n'
    text += 'export const use = action({ args: {}, handler: async () => ms("1d") });\n'
    project = make_project({"convex/n.ts": text}, modules=modules)
    (project / "convex.json").write_text('{"node": {"externalPackages": ["ms"]}}')
    (project / "package.json").write_text('{"dependencies": {"convex": "*", "ms": "*"}}')
    data = tmp_path / "data"
    served = serve("--data", str(data))
    done = convex(project, served, "dev", "--once", "--typecheck", "disable")
    assert not done.ok
    assert "The external packages of convex.json can't be had: npm" in done.stderr, done.stderr
    assert "0.0.987654321" in done.stderr
    assert list((data / "packages").iterdir()) == []


AUTH_APP = """
import { action, query } from "./_generated/server";
import { v } from "convex/values";
export const who = query({ args: {}, handler: (ctx) => ctx.auth.getUserIdentity() });
export const reach = action({ args: { url: v.string() },
  handler: async (_, { url }) => (await fetch(url)).status });
"""
CLIENTS = """
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { anyApi as api } from "convex/server";
const [, , url, issuer] = process.argv;
const tokenOf = async (name) => (await (await fetch(`${issuer}/token/${name}`)).json()).id_token;
const found = {};
for (const name of ["good", "issuer", "audience", "key", "expired"]) {
  const client = new ConvexHttpClient(url);
  client.setAuth(await tokenOf(name));
  found[name] = await client.query(api.a.who, {}).catch((e) => JSON.parse(e.message).code);
}
const following = new ConvexClient(url, { unsavedChangesWarning: false });
const states = [];
following.setAuth(() => tokenOf("good"), (isAuthenticated) => states.push(isAuthenticated));
const followed = await new Promise((done) =>
  following.onUpdate(api.a.who, {}, (user) => user && done(user.subject)));
console.log(JSON.stringify({ found, followed, states }));
process.exit(0);
"""


def test_users_of_a_real_issuer_are_known(
    serve: Serve,
    bundle: Bundle,
    issuer: Issuer,
    node: Path,
    convex_node_modules: OfVersion,
    tmp_path: Path,
) -> None:
    auth = f'export default {{ providers: [{{ applicationID: "app", domain: "{issuer.url}" }}] }};'
    served = serve()
    served.push(bundle({"convex/auth.config.ts": auth, "convex/a.ts": AUTH_APP}))
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "node_modules").symlink_to(convex_node_modules())
    (folder / "main.mjs").write_text(CLIENTS)
    done = processes.run(
        [node, "main.mjs", served.url, issuer.url],
        cwd=folder,
        env=processes.environment(home=folder, path=[node.parent]),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    user = said["found"].pop("good")
    assert user == {
        "tokenIdentifier": f"{issuer.url}|ada",
        "issuer": issuer.url,
        "subject": "ada",
        "name": "Ada",
        "role": "poet",
    }
    assert said["found"] == {
        "issuer": "NoAuthProvider",
        "audience": "NoAuthProvider",
        "key": "InvalidAuthHeader",
        "expired": "InvalidAuthHeader",
    }
    assert (said["followed"], said["states"]) == ("ada", [True])


def test_a_reset_leaves_the_network_as_it_was(serve: Serve, bundle: Bundle, issuer: Issuer) -> None:
    served = serve()
    app = bundle({"convex/a.ts": AUTH_APP})
    served.push(app)
    url = f"{issuer.url}/keys"
    assert served.value("action", "a:reach", {"url": url}) == 200
    served.calls.client.post("/api/convex_eval/reachable", {"origins": []})
    assert "reaches no other host" in str(
        served.calls.call("action", "a:reach", {"url": url}).error
    )
    served.calls.client.post("/api/convex_eval/reset_data", {})
    assert served.value("action", "a:reach", {"url": url}) == 200
    served.calls.client.post("/api/convex_eval/reset")
    served.push(app)
    assert served.value("action", "a:reach", {"url": url}) == 200
