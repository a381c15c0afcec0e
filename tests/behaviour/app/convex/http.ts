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

http.route({
  path: "/broken",
  method: "GET",
  handler: httpAction(async () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode("begun"));
          await new Promise((done) => setTimeout(done, 5));
          throw new Error("halfway");
        },
      }),
    ),
  ),
});
export default http;
