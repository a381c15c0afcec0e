"""What only a server with a network does: packages from npm, keys of identity providers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_convex_eval import processes

if TYPE_CHECKING:
    from tests.deployment.conftest import Issuer
    from tests.deployment.serve.conftest import Serve

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
    convex: Callable[..., processes.Completed],
    make_project: Callable[..., Path],
    npm_install: Callable[..., Path],
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


def test_a_package_that_is_not_there_is_refused(
    serve: Serve,
    convex: Callable[..., processes.Completed],
    make_project: Callable[..., Path],
    npm_install: Callable[..., Path],
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
    bundle: Callable[..., Any],
    issuer: Issuer,
    node: Path,
    convex_node_modules: Callable[[], Path],
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
        limits=processes.Limits(wall_seconds=30),
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


def test_a_reset_leaves_the_network_as_it_was(
    serve: Serve, bundle: Callable[..., Any], issuer: Issuer
) -> None:
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
