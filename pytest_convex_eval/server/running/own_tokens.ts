/**
 * Tokens that the deployment itself issues: `ctx.auth.signJwt` of mutations
 * (https://docs.convex.dev/api/interfaces/server.MutationAuth).
 */

import { createECDH, createHash, createHmac, createPrivateKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";

import { UserError } from "../database/user_error.ts";
import { APP } from "../push/definitions.ts";
import type { Json } from "../protocol.ts";

const CURVE = "prime256v1";
const MAX_SECONDS = 3600;
const OWN_CLAIMS = new Set(["iss", "iat", "exp", "nbf"]);
const RESERVED = /^(?:convex|cvx)/i;

export class OwnTokens {
  urls: { cloud: string; site: string };
  kid: string;
  keySet: {
    keys: {
      kid: string;
      alg: string;
      use: string;
      kty: string;
      crv: string;
      x: string;
      y: string;
    }[];
  };
  private: KeyObject;
  /** @param secret the instance's: its key follows from it */
  constructor(urls: { cloud: string; site: string }, secret: string) {
    this.urls = urls;
    const pair = createECDH(CURVE);
    pair.setPrivateKey(createHmac("sha256", Buffer.from(secret, "hex")).update("signJwt").digest());
    const point = pair.getPublicKey();
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((each) =>
      each.toString("base64url"),
    );
    const d = pair.getPrivateKey().toString("base64url").padStart(43, "A");
    const key = { kty: "EC", crv: "P-256", x: x ?? "", y: y ?? "" };
    this.kid = createHash("sha256").update(point).digest("base64url").slice(0, 16);
    /** By which others check the tokens (RFC 7517). */
    this.keySet = { keys: [{ ...key, kid: this.kid, alg: "ES256", use: "sig" }] };
    this.private = createPrivateKey({ key: { ...key, d }, format: "jwk" });
  }

  /**
   * @param component whose function asks
   * @param now milliseconds
   * @throws UserError
   */
  sign(
    component: string,
    now: number,
    {
      claims,
      expiresInSeconds: seconds,
    }: { claims?: { [claim: string]: Json } | null; expiresInSeconds?: Json },
  ) {
    if (typeof seconds !== "number" || !(seconds >= 1 && seconds <= MAX_SECONDS)) {
      throw new UserError(`signJwt: expiresInSeconds must be a number from 1 to ${MAX_SECONDS}.`);
    }
    for (const claim of Object.keys(claims ?? {})) {
      if (OWN_CLAIMS.has(claim) || RESERVED.test(claim))
        throw new UserError(`signJwt: the claim "${claim}" is reserved.`);
    }
    const iss = component === APP ? this.urls.cloud : `${this.urls.cloud}/components/${component}`;
    const iat = Math.floor(now / 1000);
    const header = { alg: "ES256", typ: "JWT", kid: this.kid };
    const parts = [header, { ...claims, iss, iat, exp: iat + Math.floor(seconds) }];
    const text = parts
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    const signature = sign("sha256", Buffer.from(text), {
      key: this.private,
      dsaEncoding: "ieee-p1363",
    });
    return `${text}.${signature.toString("base64url")}`;
  }
}
