// Uses shared servers with the official TypeScript client, through the node and directly, and compares.
//
//   node typescript.mjs TOKEN_FILE URL DIRECT_URL FILES_URL FILES_FOLDER

import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [tokenFile, shared, direct, files, folder] = process.argv.slice(2);
const token = readFileSync(tokenFile, "utf8").trim();
let passed = 0;
let failed = 0;

async function check(name, run) {
    try {
        await run();
        passed += 1;
        console.log(`ok    TypeScript · ${name}`);
    } catch (error) {
        failed += 1;
        console.log(`FAIL  TypeScript · ${name}: ${String(error).slice(0, 500)}`);
    }
}

function same(found, expected) {
    if (!isDeepStrictEqual(found, expected)) {
        throw new Error(`found ${JSON.stringify(found)?.slice(0, 250)}, expected ${JSON.stringify(expected)?.slice(0, 250)}`);
    }
}

async function connect(url) {
    const client = new Client(
        { name: "interop", version: "0" },
        { capabilities: { elicitation: {}, sampling: {}, roots: {} } },
    );
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { username: "u", email: "e" } }));
    client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: "file:///interop" }] }));
    client.setRequestHandler(CreateMessageRequestSchema, () => ({
        role: "assistant", model: "interop", content: { type: "text", text: "sampled here" },
    }));
    const requestInit = { headers: { Authorization: `Bearer ${token}` } };
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
    return client;
}

async function everything(client) {
    const call = (name, args = {}) => client.callTool({ name, arguments: args });
    const told = [];
    const onprogress = (progress) => told.push(progress);
    return {
        tools: await client.listTools(),
        resources: await client.listResources(),
        read: await client.readResource({ uri: "test://static-binary" }),
        prompts: await client.listPrompts(),
        prompt: await client.getPrompt({ name: "test_prompt_with_image" }),
        text: await call("test_simple_text"),
        mixed: await call("test_multiple_content_types"),
        error: await call("test_error_handling"),
        elicited: await call("test_elicitation", { message: "m" }),
        sampled: await call("test_sampling", { prompt: "p" }),
        roots: await call("test_roots"),
        unknown: await call("no-such-tool").catch((error) => [error.code, error.message]),
        progress: [await client.callTool({ name: "test_tool_with_progress", arguments: {} }, undefined, { onprogress }), told],
    };
}

const own = await connect(direct);
const expected = await everything(own);
await own.close();
const client = await connect(shared);
const found = await everything(client);
for (const name of Object.keys(expected)) {
    await check(name, () => same(found[name], expected[name]));
}
await check("a call that is given up", async () => {
    const given = new AbortController();
    const fate = async (key) => (await client.callTool({ name: "what_became_of", arguments: { key } })).content[0].text;
    const key = String(Math.random());
    const call = client.callTool({ name: "wait", arguments: { key } }, undefined, { signal: given.signal });
    call.catch(() => {});
    while ((await fate(key)) !== "waiting");
    given.abort();
    const until = Date.now() + 10_000;
    while ((await fate(key)) !== "given up") {
        if (Date.now() > until) {
            throw new Error("the server was not told");
        }
    }
});
await client.close();

const filesystem = await connect(files);
await check("server-filesystem · read, write, list", async () => {
    const call = async (name, args) => (await filesystem.callTool({ name, arguments: args })).content[0].text;
    const path = `${folder}/grüße.txt`;
    await call("write_file", { path, content: "from the other node ✓" });
    same(readFileSync(path, "utf8"), "from the other node ✓");
    same(await call("read_text_file", { path }), "from the other node ✓");
    same((await call("list_directory", { path: folder })).includes("grüße.txt"), true);
});
await filesystem.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
