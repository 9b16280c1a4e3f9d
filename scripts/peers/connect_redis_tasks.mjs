// connect-redis on Node: its store with its JSON, on one connection of node-redis, which pipelines by itself.
// The protocol is that of protocol.py.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";

const folder = process.argv[2]; // where they are installed
const require = createRequire(pathToFileURL(folder + "/"));
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");

const versions = { node: process.versions.node };
for (const name of ["connect-redis", "redis"])
  versions[name] = JSON.parse(readFileSync(`${folder}/node_modules/${name}/package.json`)).version;

let store, ids, held, changes;
let turn = 0;

async function begin(told) {
  const client = createClient({ url: told.redis });
  await client.connect();
  store = new RedisStore({ client, ttl: 3600 });
  changes = told.changes;
  ids = Array.from({ length: told.sessions }, (_, number) => `session-${number}`);
  held = Array.from({ length: told.clients }, (_, number) => ({ id: `held-${number}`, session: { cookie: {}, ...told.payload } }));
  for (const id of ids) await store.set(id, { cookie: {}, ...told.payload });
  for (const each of held) await store.set(each.id, each.session);
  return { ready: versions };
}

const work = {
  async get() {
    if (!(await store.get(ids[turn++ % ids.length]))) throw new Error("no such session");
  },
  async update(client) {
    held[client].session = await store.get(held[client].id);
    await work.save(client);
  },
  async save(client) {
    Object.assign(held[client].session, changes);
    await store.set(held[client].id, held[client].session);
  },
};

async function run(order) {
  const started = performance.now();
  const until = started + order.seconds * 1000;
  const clients = Array.from({ length: order.clients }, async (_, client) => {
    let done = 0;
    for (; performance.now() < until; done++) await work[order.do](client);
    return done;
  });
  const counts = await Promise.all(clients);
  return { calls: counts.reduce((a, b) => a + b), seconds: (performance.now() - started) / 1000 };
}

let first = true;
for await (const line of createInterface({ input: process.stdin })) {
  const answer = first ? await begin(JSON.parse(line)) : await run(JSON.parse(line));
  first = false;
  process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit(0);
