import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { QuorateClient, type Session } from '../../src/client/client.ts';
import { Journal, readJournal } from '../../src/demo/journal.ts';
import { type AgentMessage, formatHolds, type HoldPoint, parseHolds } from '../../src/demo/protocol.ts';
import { Recorder } from '../../src/demo/recorder.ts';
import type { ReportProgressRequest } from '../../src/gen/quorate/v1/phase_pb.ts';
import { FakeMember, message, refusal, SILENCE } from '../client/fake-member.ts';

const REF = { loop: 'l', g: 1, phase: 'CONSTRUCT' };
let member: FakeMember;
let client: QuorateClient;
let session: Session;
let folder: string;
let said: AgentMessage[];
let go: () => void;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
  client = await QuorateClient.connect({ endpoints: [member.address], deadlineMs: 5_000 });
  session = await client.openSession();
  folder = mkdtempSync(join(tmpdir(), 'quorate-recorder-test-'));
  said = [];
});

afterEach(async () => {
  await client.close();
  member.crash();
  rmSync(folder, { recursive: true, force: true });
});

function recorder(total: number, holds: readonly HoldPoint[] = []): Recorder {
  const journal = new Journal(join(folder, 'journal'));
  const tell = (one: AgentMessage): void => void said.push(one);
  const waitForGo = () =>
    new Promise<void>((resolve) => {
      go = resolve;
    });
  return new Recorder({
    session,
    ref: REF,
    attempt: 1,
    token: 9,
    total,
    done: 0,
    journal,
    tell,
    holds: [...holds],
    waitForGo,
  });
}

function recorded(): string[] {
  return member
    .requests('reportProgress')
    .flatMap((one) => (one.request as ReportProgressRequest).subSteps.map((step) => step.id));
}

describe('P5: recording', () => {
  test('everything is recorded once, in batches, and the journal has it', async () => {
    const subject = recorder(100);
    const ids = Array.from({ length: 100 }, (_, i) => `f${i}`);
    await Promise.all(ids.map((id) => subject.perform(id, async () => 'ok')));
    await subject.finish();
    expect(recorded().sort()).toEqual([...ids].sort());
    expect(member.requests('reportProgress').length).toBeLessThan(100);
    const last = member.requests('reportProgress').at(-1)?.request;
    expect(last).toMatchObject({ fencingToken: 9n, completed: 100n, total: 100n });
    const lines = readJournal(join(folder, 'journal'));
    for (const kind of ['started', 'performed', 'recorded']) {
      expect(lines.filter((line) => line.kind === kind).length).toBe(100);
    }
  });

  test('the work runs ahead of the records by a bounded amount', async () => {
    member.script('reportProgress', SILENCE);
    const subject = recorder(1_000);
    let performed = 0;
    const all = Array.from({ length: 1_000 }, (_, i) =>
      subject.perform(`f${i}`, async () => {
        performed += 1;
        return '';
      }),
    );
    await expect.poll(() => performed).toBe(64);
    await expect.poll(() => member.requests('reportProgress').length).toBe(1);
    expect(performed).toBe(64);
    member.script('reportProgress', message({ header: { revision: 1n } }));
    await Promise.all(all);
    await subject.finish();
    expect(performed).toBe(1_000);
    expect(new Set(recorded()).size).toBe(1_000);
  });

  test('a refusal ends the work', async () => {
    member.script('reportProgress', refusal({ code: Code.ABORTED, message: 'stale', reason: 'STALE_FENCE' }));
    const subject = recorder(2);
    await subject.perform('a', async () => '');
    await expect(subject.finish()).rejects.toMatchObject({ reason: 'STALE_FENCE' });
    await expect(subject.perform('b', async () => '')).rejects.toMatchObject({ reason: 'STALE_FENCE' });
  });

  test('holds before the report, one at a time, and before the end', async () => {
    const subject = recorder(
      2,
      parseHolds(
        formatHolds([
          { phase: 'CONSTRUCT', share: 0 },
          { phase: 'CONSTRUCT', share: 0.5 },
        ]),
      ),
    );
    await subject.perform('a', async () => '');
    await expect.poll(() => said.map((one) => one.kind)).toEqual(['hold']);
    expect(recorded()).toEqual([]);
    go();
    await expect.poll(() => said.map((one) => one.kind)).toEqual(['hold', 'recorded']);
    const end = subject.finish();
    await expect.poll(() => said.map((one) => one.kind)).toEqual(['hold', 'recorded', 'hold']);
    go();
    await end;
  });
});
