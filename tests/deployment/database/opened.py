"""Tables with two documents, a file and what is gone, and an open transaction."""

from __future__ import annotations

OPEN = """
  const tables = open({ t: {}, u: {} });
  const [id, other] = commit(tables, (it) => [it.insert("", "t", { a: 1, b: 2 }), it.insert("",
    "u", {})]);
  const file = commit(tables, (it) => {
    const made = tables.newId(tables.find("", "_storage"));
    it.put(tables.find("", "_storage"), { _id: made, _creationTime: 1 });
    return made;
  });
  const gone = commit(tables, (it) => it.insert("", "t", {}));
  commit(tables, (it) => it.remove("", { id: gone }));
  const it = begin(tables);
"""
