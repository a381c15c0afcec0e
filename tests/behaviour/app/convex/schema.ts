import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  lists: defineTable({ owner: v.optional(v.string()), title: v.string(), rank: v.number() }).index("by_rank", [
    "rank",
  ]),
  counters: defineTable({ name: v.string(), value: v.number() }).index("by_name", ["name"]),
  files: defineTable({ storageId: v.id("_storage") }),
});
