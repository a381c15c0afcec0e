/** Names of tables, indexes and components. */

const MAX_IDENTIFIER = 64;

/** What is wrong with a name, or null. */
export function identifierProblem(name: string) {
  if (name.length > MAX_IDENTIFIER)
    return `Identifier is too long (${name.length} > maximum ${MAX_IDENTIFIER}).`;
  if (/^[A-Za-z][A-Za-z0-9_]*$/.test(name)) return null;
  return "Identifiers must start with a letter and can only contain letters, digits, and underscores.";
}
