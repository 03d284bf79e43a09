import { create } from '@bufbuild/protobuf';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ReadConsistency } from '../../src/gen/quorate/v1/common_pb.ts';
import {
  BackupRequestSchema,
  type BackupResponse,
  MaintenanceService,
} from '../../src/gen/quorate/v1/maintenance_pb.ts';
import { methodDefinition } from '../../src/rpc/service.ts';
import { type ParsedStatus, parseStatus } from '../../src/rpc/status.ts';
import { verifyBackup } from '../../src/snapshot/backup.ts';
import { memberId } from '../../src/types/ids.ts';
import { IMAGES_MAX } from '../../src/types/limits.ts';
import { FakeImage } from './fake-image.ts';
import { TestApi } from './support.ts';

const { method } = MaintenanceService;
let api: TestApi;
const streams: ClientReadableStream<BackupResponse>[] = [];

beforeEach(async () => {
  api = await new TestApi().start();
});

afterEach(() => {
  for (const stream of streams.splice(0)) stream.cancel();
  api.stop();
});

function backup(): { stream: ClientReadableStream<BackupResponse>; status: Promise<ParsedStatus> } {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method.backup);
  const stream = api.client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    create(BackupRequestSchema),
  );
  streams.push(stream);
  const status = new Promise<ParsedStatus>((resolve) => stream.on('status', (end) => resolve(parseStatus(end))));
  stream.on('error', () => {});
  return { stream, status };
}

describe('U5: Backup', () => {
  it('says first what it stands for, then sends a file that verifies', async () => {
    const image = new FakeImage(500, 1_024);
    api.member.image = image;
    const { stream, status } = backup();
    const messages: BackupResponse[] = [];
    for await (const one of stream) messages.push(one as BackupResponse);
    expect(messages[0]).toMatchObject({
      info: { clusterId: 'test', memberId: 'a', index: 41n, term: 5n, version: '1.2.3', estimatedBytes: 12_345n },
      data: new Uint8Array(),
    });
    expect(messages.slice(1).every((one) => one.info === undefined && one.data.length > 0)).toBe(true);
    async function* file() {
      for (const { data } of messages) yield data;
    }
    expect(await verifyBackup(file())).toMatchObject({ rows: 501, header: { clusterId: 'test', mark: { index: 41 } } });
    expect((await status).code).toBe(0);
    expect(image.closed).toBe(1);
  });

  it('reads no further than the client does', async () => {
    const image = new FakeImage(6_000, 16_384);
    api.member.image = image;
    const { stream } = backup();
    let received = 0;
    stream.on('data', () => {
      received += 1;
      stream.pause();
    });
    await vi.waitFor(() => expect(received).toBe(1));
    let before = -1;
    await vi.waitFor(
      () => {
        const still = image.reads === before;
        before = image.reads;
        expect(still).toBe(true);
      },
      { interval: 200, timeout: 5_000 },
    );
    expect(image.reads).toBeLessThan(image.rows.length / 8 / 2);
    stream.cancel();
    await vi.waitFor(() => expect(image.closed).toBe(1));
  });

  it('ends with an error when the state cannot be read to its end', async () => {
    const image = new FakeImage(2_000, 1_024);
    image.failAfter = 3;
    api.member.image = image;
    const { stream, status } = backup();
    stream.resume();
    expect(await status).toMatchObject({
      reason: 'BACKUP_FAILED',
      message: expect.stringContaining('the disk is gone'),
    });
    expect(image.closed).toBe(1);
  });

  it('ends with an error when the rows are not what the state hash says', async () => {
    const image = new FakeImage(100, 64);
    image.rows.splice(3, 1);
    api.member.image = image;
    const { stream, status } = backup();
    stream.resume();
    expect((await status).reason).toBe('BACKUP_FAILED');
  });

  it('B4: only so many at a time; one that ends makes room', async () => {
    const image = new FakeImage(2_000, 16_384);
    api.member.image = image;
    const slow = Array.from({ length: IMAGES_MAX }, backup);
    await Promise.all(slow.map(({ stream }) => new Promise((begun) => stream.once('data', begun))));
    for (const { stream } of slow) stream.pause();
    const refused = backup();
    refused.stream.resume();
    expect(await refused.status).toMatchObject({ reason: 'OVERLOADED' });
    slow[0]?.stream.cancel();
    await vi.waitFor(() => expect(image.closed).toBe(1));
    const last = new FakeImage(10, 64);
    api.member.image = last;
    const taken = backup();
    taken.stream.resume();
    expect((await taken.status).code).toBe(0);
    expect(last.closed).toBe(1);
  });

  it('sends the client elsewhere when this member stops or was removed', async () => {
    const stopping = backup();
    stopping.stream.resume();
    expect((await stopping.status).reason).toBe('SHUTTING_DOWN');
    api.member.statusFields = { removed: true };
    const removed = backup();
    removed.stream.resume();
    expect((await removed.status).reason).toBe('MEMBER_REMOVED');
  });
});

describe('R9: feature level', () => {
  it('says the level, what is used, and what all members support', async () => {
    const answer = await api.call(method.getFeatureLevel, { consistency: ReadConsistency.LEASE });
    expect(answer).toMatchObject({ ok: true, value: { level: 2, used: 1, pinned: false, supported: 2 } });
    expect(api.member.consistencies).toEqual([{ kind: 'lease' }]);
    api.member.statusFields = { featureLevels: new Map([[memberId('a'), 2]]) };
    expect(await api.call(method.getFeatureLevel, {})).toMatchObject({ ok: true, value: { supported: 0 } });
  });

  it('is set through the log', async () => {
    api.member.applies({ kind: 'featureLevelSet', level: 1 });
    expect(await api.call(method.setFeatureLevel, { level: 1, pinned: true })).toMatchObject({
      ok: true,
      value: { level: 1 },
    });
    expect(api.member.mutations.at(-1)?.request.body).toEqual({ kind: 'setFeatureLevel', level: 1, pinned: true });
  });

  it('is refused where a member does not know it: the entry would stop that member', async () => {
    for (const level of [3, 2 ** 32 - 1]) {
      const answer = await api.call(method.setFeatureLevel, { level });
      expect(answer).toMatchObject({ ok: false, error: { reason: 'FEATURE_LEVEL_UNSUPPORTED' } });
    }
    expect(await api.call(method.setFeatureLevel, { level: 0 })).toMatchObject({
      ok: false,
      error: { reason: 'INVALID_ARGUMENT' },
    });
    expect(api.member.mutations).toEqual([]);
  });
});
