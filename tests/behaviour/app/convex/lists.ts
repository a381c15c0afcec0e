import { paginationOptsValidator } from "convex/server";
import { ConvexError, v } from "convex/values";
import { internal } from "./_generated/api";
import { action, internalMutation, internalQuery, mutation, query } from "./_generated/server";

export const add = mutation({
  args: { title: v.string(), rank: v.optional(v.number()) },
  handler: async (ctx, { title, rank }) => {
    const identity = await ctx.auth.getUserIdentity();
    const owner = identity === null ? {} : { owner: identity.tokenIdentifier };
    return await ctx.db.insert("lists", { title, rank: rank ?? 0, ...owner });
  },
});

export const all = query({
  args: {},
  handler: async (ctx) => await ctx.db.query("lists").withIndex("by_rank").take(50),
});

export const pages = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx, args) => await ctx.db.query("lists").withIndex("by_rank").paginate(args.paginationOpts),
});

export const tooBigPages = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx) => await ctx.db.query("lists").paginate({ numItems: 100, cursor: null }),
});

export const noPages = query({ args: { paginationOpts: paginationOptsValidator }, handler: async () => [] });

export const remove = mutation({
  args: { id: v.id("lists") },
  handler: async (ctx, { id }) => {
    const identity = await ctx.auth.getUserIdentity();
    const list = await ctx.db.get("lists", id);
    console.log("removing", list?.title);
    if (list === null) throw new ConvexError({ code: "gone", id });
    if (identity === null || list.owner !== identity.tokenIdentifier) throw new Error("Not authorized");
    await ctx.db.delete("lists", id);
    return null;
  },
});

export const secret = internalQuery({ args: {}, handler: async () => "seen" });

export const numbers = query({
  args: {},
  handler: async () => ({ big: 5n, half: 0.5, bytes: new Uint8Array([1, 2]).buffer, none: null, words: ["b", "a"] }),
});

export const claim = mutation({
  args: { name: v.string() },
  handler: async (ctx, { name }) => {
    const found = await ctx.db
      .query("counters")
      .withIndex("by_name", (q) => q.eq("name", name))
      .unique();
    if (found !== null) throw new Error("taken");
    await ctx.db.insert("counters", { name, value: 1 });
    return null;
  },
});

export const bump = mutation({
  args: { name: v.string() },
  handler: async (ctx, { name }) => {
    const found = await ctx.db
      .query("counters")
      .withIndex("by_name", (q) => q.eq("name", name))
      .unique();
    if (found === null) await ctx.db.insert("counters", { name, value: 1 });
    else await ctx.db.patch("counters", found._id, { value: found.value + 1 });
    return null;
  },
});

export const later = mutation({
  args: { title: v.string(), ms: v.number() },
  handler: async (ctx, { title, ms }) => {
    await ctx.scheduler.runAfter(ms, internal.lists.landed, { title });
    return null;
  },
});

export const landed = internalMutation({
  args: { title: v.string() },
  handler: async (ctx, { title }) => {
    if (title === "bad") throw new Error("no such title");
    await ctx.db.insert("lists", { title, rank: Date.now() });
    return null;
  },
});

export const time = query({ args: {}, handler: async () => Date.now() });

export const greeting = query({ args: {}, handler: async () => process.env.GREETING ?? null });

export const whoami = query({ args: {}, handler: async (ctx) => await ctx.auth.getUserIdentity() });

export const ask = action({
  args: { url: v.string(), word: v.string() },
  handler: async (_ctx, { url, word }) => {
    const answer = await fetch(`${url}/echo?word=${word}`, { method: "POST", body: JSON.stringify({ word }) });
    return { status: answer.status, text: await answer.text() };
  },
});
