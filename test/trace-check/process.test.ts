/** Three real members whose leader is killed again and again: what each of them wrote down keeps the rules of the paper. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { must } from '../../src/types/assert.ts';
import { DATA_STREAM } from '../../src/types/ids.ts';
import { waitFor } from '../process/wait.ts';
import { cliPath } from '../support/build.ts';
import { checkTrace } from './checker.ts';
import { readFolder } from './ndjson.ts';

const KILLS = 3;
const LOOPS_EACH = 40;
const DEADLINE_MS = 30_000;

describe('a real cluster', () => {
  let folder: string;
  let cluster: DevCluster;
  let client: QuorateClient | null = null;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quorate-traced-'));
    const flags = ['--trace-folder', join(folder, 'trace')];
    cluster = await startDevCluster({ members: 3, dataDir: join(folder, 'data'), cli: cliPath, flags });
  });

  afterAll(async () => {
    await client?.close();
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('whose leader gets SIGKILL keeps the rules, by the traces of its members', { timeout: 60_000 }, async () => {
    client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'traced' });
    const session = await client.openSession({ ttlMs: 600_000 });
    let loops = 0;
    const work = async (): Promise<void> => {
      while (loops < LOOPS_EACH * (KILLS + 1)) {
        await session.createLoop(`traced-${loops}`, { deadlineMs: DEADLINE_MS });
        loops += 1;
      }
    };
    const done = work();
    let failure: unknown = null;
    done.catch((error: unknown) => {
      failure = error;
    });
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await waitFor(() => failure !== null || loops >= kill * LOOPS_EACH, DEADLINE_MS, 'the client makes progress');
      if (failure !== null) throw failure;
      const leader = await cluster.waitForLeader();
      leader.kill('SIGKILL');
      await leader.exited;
      leader.start();
    }
    await done;
    await cluster.stop();

    const traces = must(readFolder(join(folder, 'trace')).get(DATA_STREAM), 'a trace of the stream');
    expect(traces.map(({ member, complete }) => `${member} ${complete}`).sort()).toEqual([
      'm1 true',
      'm2 true',
      'm3 true',
    ]);
    const events = traces.flatMap((trace) => trace.events);
    const count = (kind: string): number => events.filter((event) => event.kind === kind).length;
    expect(count('start')).toBe(3 + KILLS);
    expect(count('elected')).toBeGreaterThan(KILLS);
    expect(count('commit')).toBeGreaterThan(3 * LOOPS_EACH);
    expect(checkTrace(traces)).toEqual([]);
  });
});
