/** The routes of `convex import` and `convex export`. */

import { BadRequest } from "../errors.ts";
import { object } from "../push/push_request.ts";
import type { Handler } from "./http.ts";
import type { Deployment } from "../deployment.ts";

/** The CLI's parts have 5 MiB unless the file is larger than 50 GB. */
const MAX_PART_BYTES = 64 * 1024 * 1024;

export function transferRoutes({ imports, exports }: Deployment): Record<string, Handler> {
  return {
    "POST /api/import/start_upload": () => ({ json: { uploadToken: imports.startUpload() } }),
    "POST /api/import/upload_part": async (request) => {
      const { searchParams } = request.url;
      const number = Number(searchParams.get("partNumber"));
      imports.addPart(searchParams.get("uploadToken"), number, await request.bytes(MAX_PART_BYTES));
      return { json: String(number) };
    },
    "POST /api/import/finish_upload": async (request) => {
      const body = object(await request.json(), "the body");
      const options = object(body["import"] ?? null, "import");
      const { format, mode, tableName = null, componentPath = null } = options;
      const importId = imports.finishUpload(text(body["uploadToken"], "uploadToken"), {
        format: text(format, "format"),
        mode: text(mode, "mode"),
        table: tableName === null ? null : text(tableName, "tableName"),
        component: componentPath === null ? null : text(componentPath, "componentPath"),
      });
      return { json: { importId } };
    },
    "POST /api/perform_import": async (request) => {
      await imports.perform(text(object(await request.json(), "the body")["importId"], "importId"));
      return { json: null };
    },
    "POST /api/export/request/zip": async (request) => {
      await exports.create({
        withFiles: request.url.searchParams.get("includeStorage") === "true",
      });
      return { json: null };
    },
    "GET /api/export/zip/*": (request) => {
      const timestamp = request.url.pathname.slice("/api/export/zip/".length);
      const headers = [
        ["Content-Type", "application/zip"],
        ["Content-Disposition", `attachment; filename=snapshot_${timestamp}.zip`],
      ] as [string, string][];
      return { status: 200, headers, bytes: exports.archive(timestamp) };
    },
  };
}

function text(value: unknown, name: string) {
  if (typeof value !== "string") throw new BadRequest(`${name} must be a string`);
  return value;
}
