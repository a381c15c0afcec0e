/** A key or password written into code. */

import { keyOf, stringOf } from "./shared/ast.mjs";
import { rule } from "./shared/rule.mjs";

/** What well-known services' keys look like; each bounded, none backtracks. */
const KEYS = [
  /\bsk_live_[A-Za-z0-9]{16,}/,
  /\brk_live_[A-Za-z0-9]{16,}/,
  /\bwhsec_[A-Za-z0-9+/=]{16,}/,
  /\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{24,}/,
  /\bgh[pousr]_[A-Za-z0-9]{30,}/,
  /\bxox[abpr]-[A-Za-z0-9-]{16,}/,
  /\bAKIA[A-Z0-9]{16}\b/,
  /\bAIza[A-Za-z0-9_-]{30,}/,
  /\bre_[A-Za-z0-9]{8}_[A-Za-z0-9]{16,}/,
  /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/,
];
const NAMED =
  /(?:api_?key|secret(?:_?key)?|password|passphrase|private_?key|auth_?token|access_?token)$/i;
const PLACEHOLDER =
  /your|example|placeholder|change|replace|insert|dummy|xxx|test|todo|<|\.\.\.|\*\*\*/i;

export default rule({
  name: "no-hardcoded-secret",
  description: "Disallow keys and passwords in code.",
  message: "This looks like a secret written into code. Keep it in an environment variable.",
  check(file, report) {
    for (const node of file.nodes("Literal", "TemplateLiteral")) {
      const text = stringOf(node);
      if (text === null || text.length < 12 || text.length > 8000 || PLACEHOLDER.test(text))
        continue;
      if (KEYS.some((key) => key.test(text)) || (isNamedSecret(node) && isRandom(text)))
        report(node);
    }
  },
});

/** @param {import("./shared/ast.mjs").Node} node */
function isNamedSecret({ parent }) {
  if (parent.type === "VariableDeclarator") return NAMED.test(parent.id.name ?? "");
  return parent.type === "Property" && NAMED.test(keyOf(parent) ?? "");
}

/** Letters and digits without spaces, as people's words are not. @param {string} text */
function isRandom(text) {
  return text.length >= 16 && /^[\w+/=-]+$/.test(text) && /\d/.test(text) && /[A-Za-z]/.test(text);
}
