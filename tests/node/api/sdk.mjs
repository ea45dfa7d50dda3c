// @neon/sdk: what it puts together of several calls.
import assert from "node:assert/strict";
import { createNeonClient } from "@neon/sdk";

const { NEON_API_KEY: apiKey, NEON_BASE: baseUrl } = process.env;
const neon = createNeonClient({ apiKey, baseUrl, throwOnError: true, wait: { pollIntervalMs: 20 } });

const { project, connectionString } = await neon.projects.createAndConnect({ name: "by-sdk" });
const projectId = project.id;
try {
  assert.match(connectionString, /^postgresql:\/\/neondb_owner:npg_.*-pooler\..*channel_binding=require/);
  assert((await neon.projects.list({ limit: 2 }).all()).some((one) => one.id === projectId));
  assert.equal((await neon.projects.update({ projectId, name: "renamed" })).name, "renamed");

  const main = await neon.branches.getDefault({ projectId });
  const { branch, endpoint, connectionString: second } =
    await neon.branches.createAndConnect({ projectId, name: "dev", compute: { minCu: 0.25, maxCu: 0.5 } });
  assert.equal(branch.parent_id, main.id);
  assert.equal(endpoint.autoscaling_limit_max_cu, 0.5);
  assert(second.includes(endpoint.id));
  const bare = await neon.branches.create({ projectId, name: "bare", noCompute: true });
  assert.equal((await neon.postgres.endpoints.listByBranch({ projectId, branchId: bare.id })).length, 0);
  const soon = new Date(Date.now() + 86_400_000).toISOString().slice(0, 19) + "Z";
  assert.equal((await neon.branches.update({ projectId, branchId: bare.id, expires_at: soon })).expires_at, soon);
  await neon.branches.resetFromParent({ projectId, branchId: branch.id });
  await neon.branches.setDefault({ projectId, branchId: branch.id });
  await neon.branches.delete({ projectId, branchId: bare.id });
  assert.equal((await neon.branches.list({ projectId, limit: 1 }).all()).length, 2);

  await neon.postgres.roles.create({ projectId, branchId: main.id, name: "app" });
  await neon.postgres.databases.create({ projectId, branchId: main.id, name: "shop", owner_name: "app" });
  assert.equal((await neon.postgres.databases.update({ projectId, branchId: main.id, databaseName: "shop", name: "store" })).name, "store");
  assert.match(await neon.postgres.roles.password({ projectId, branchId: main.id, roleName: "app" }), /^npg_/);
  await neon.postgres.databases.delete({ projectId, branchId: main.id, databaseName: "store" });
  await neon.postgres.roles.delete({ projectId, branchId: main.id, roleName: "app" });

  const { error } = await neon.branches.get({ projectId, branchId: "br-no-such-branch" }, { throwOnError: false });
  assert.equal(error.kind, "not_found");
} finally {
  await neon.projects.delete({ projectId });
}
await neon.projects.recover({ projectId });
await neon.projects.delete({ projectId });
