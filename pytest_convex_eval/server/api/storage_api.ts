/** Files over HTTP. */

import { STORAGE } from "../database/tables.ts";
import { UserError } from "../database/user_error.ts";
import { ApiError, BadRequest } from "../errors.ts";
import { isFilesPath } from "../running/storage.ts";
import type { Transaction } from "../database/transaction.ts";
import type { Services } from "../running/services.ts";
import type { Answer, Request } from "../http/http.ts";

const MAX_FILE_BYTES = 512 * 1024 * 1024;

export async function upload(services: Services, request: Request): Promise<Answer> {
  const component = services.storage.redeem(request.url.searchParams.get("token"));
  if (component === null)
    throw new ApiError(401, "StorageTokenInvalid", "The upload token is invalid or has expired.");
  const { "content-type": contentType = null, digest } = request.incoming.headers;
  const bytes = await request.bytes(MAX_FILE_BYTES);
  const sha256 =
    typeof digest === "string" && /^sha-256=/i.test(digest)
      ? digest.slice("sha-256=".length)
      : undefined;
  const file = { bytes, contentType, ...(sha256 === undefined ? {} : { sha256 }) };
  const store = (transaction: Transaction) => services.storage.store(transaction, component, file);
  const storageId = await services.functions.transaction(store).catch((error) => {
    throw error instanceof UserError ? new BadRequest(error.message) : error;
  });
  return { json: { storageId } };
}

export async function download(services: Services, request: Request): Promise<Answer> {
  const uuid = request.url.pathname.slice("/api/storage/".length).toLowerCase();
  // Alone: a function that runs may have put the file's row into another state, or gone back in time.
  const [file, document] = await services.functions.transaction(
    ({ tables }) => {
      const found = services.storage.at(uuid);
      return [found, tables.find(found?.component ?? "", STORAGE)?.documents.get(found?.id ?? "")];
    },
    { writes: false },
  );
  if (file === null && !isFilesPath(uuid))
    throw new ApiError(400, "InvalidStoragePath", `Invalid storage path: ${JSON.stringify(uuid)}`);
  if (file === null) throw new ApiError(404, "FileNotFound", `File ${uuid} not found`);
  const { contentType, sha256 } = document ?? {};
  const headers: [string, string][] = [
    ["Content-Type", typeof contentType === "string" ? contentType : "application/octet-stream"],
    ["Digest", `sha-256=${sha256}`],
    ["Accept-Ranges", "bytes"],
    ["Cache-Control", "private, max-age=2592000"],
  ];
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.incoming.headers.range ?? "");
  const { bytes } = file;
  if (range === null || (range[1] === "" && range[2] === ""))
    return { status: 200, headers, bytes };
  const start = range[1] === "" ? Math.max(bytes.length - Number(range[2]), 0) : Number(range[1]);
  const end =
    range[1] === "" || range[2] === ""
      ? bytes.length - 1
      : Math.min(Number(range[2]), bytes.length - 1);
  if (start > end)
    return {
      status: 416,
      headers: [["Content-Range", `bytes */${bytes.length}`]],
      bytes: Buffer.alloc(0),
    };
  headers.push(["Content-Range", `bytes ${start}-${end}/${bytes.length}`]);
  return { status: 206, headers, bytes: bytes.subarray(start, end + 1) };
}
