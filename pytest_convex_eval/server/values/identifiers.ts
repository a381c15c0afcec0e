/**
 * Names. Fields of validators, tables of ids and functions are identifiers; a table, index or component of a push
 * begins with a letter besides. Fields of values may be more (`values.ts`).
 */

const MAX_IDENTIFIER = 64;

/** What is wrong with an identifier, or null. */
export function identifierProblem(name: string): string | null {
  if (name.length > MAX_IDENTIFIER)
    return `Identifier is too long (${name.length} > maximum ${MAX_IDENTIFIER})`;
  const [first, ...rest] = name;
  if (first === undefined) return "Identifiers can't be empty";
  if (!/^[A-Za-z_]$/.test(first))
    return `Invalid first character '${first}' in ${name}: Identifiers must start with an alphabetic character or underscore`;
  const wrong = rest.find((character) => !/^[A-Za-z0-9_]$/.test(character));
  return wrong === undefined
    ? null
    : `Identifier ${name} has invalid character '${wrong}': Identifiers can only contain alphanumeric characters or underscores`;
}

/** What is wrong with a path of fields (`a.b`), or null. */
export function fieldPathProblem(path: string): string | null {
  for (const name of path.split(".")) {
    const problem = identifierProblem(name);
    if (problem !== null) return problem;
  }
  return null;
}

/** What is wrong with the name of a table, index or component that is pushed, or null. */
export function pushedNameProblem(name: string): string | null {
  if (name.length > MAX_IDENTIFIER)
    return `Identifier is too long (${name.length} > maximum ${MAX_IDENTIFIER}).`;
  if (/^[A-Za-z][A-Za-z0-9_]*$/.test(name)) return null;
  return "Identifiers must start with a letter and can only contain letters, digits, and underscores.";
}
