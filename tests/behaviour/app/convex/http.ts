import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";

const http = httpRouter();

http.route({
  path: "/hello",
  method: "GET",
  handler: httpAction(async (_ctx, request) => {
    const name = new URL(request.url).searchParams.get("name") ?? "you";
    return new Response(`hello ${name}`, { headers: { "X-Greeting": "yes" } });
  }),
});

http.route({
  path: "/echo",
  method: "POST",
  handler: httpAction(async (_ctx, request) => {
    const body = await request.text();
    const type = request.headers.get("Content-Type");
    return Response.json({ body, type }, { status: 201 });
  }),
});

export default http;
