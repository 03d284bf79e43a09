/** What `quorate status` says of the disk. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMember, message } from '../client/fake-member.ts';
import { cli } from './run-cli.ts';

let member: FakeMember;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
});

afterEach(() => member.crash());

function ask(...args: string[]) {
  return cli([...args, '--endpoints', member.address]);
}

describe('W6: status', () => {
  test('says what is written for what is proposed, and how long an fsync takes', async () => {
    const stream = { streamId: 1, role: 'leader', leaderId: 'm', leaderClientAddress: member.address };
    const io = {
      bytesProposed: 1000n,
      bytesWritten: 2500n,
      maxIoOverheadRatio: 2.5,
      fsyncP50Ms: 1.25,
      fsyncP99Ms: 9,
      fsyncs: 40n,
    };
    member.script('getStatus', message({ clusterId: 'c', memberId: 'm', streams: [stream], io }));
    const json = JSON.parse((await ask('status', '--json')).stdout);
    expect(json.endpoints[0].status.io).toEqual({ ...io, bytesProposed: 1000, bytesWritten: 2500, fsyncs: 40 });
    const line = 'disk: m 2.50 bytes written per byte proposed, fsync p50 1.3 ms, p99 9.0 ms';
    expect((await ask('status')).stdout).toContain(`\n${line}`);
    member.script('getStatus', message({ clusterId: 'c', memberId: 'm', streams: [stream], io: {} }));
    expect(JSON.parse((await ask('status', '--json')).stdout).endpoints[0].status.io.maxIoOverheadRatio).toBeNull();
    expect((await ask('status')).stdout).toContain('m nothing proposed yet');
    // A member of an older release.
    member.script('getStatus', message({ clusterId: 'c', memberId: 'm', streams: [stream] }));
    expect(JSON.parse((await ask('status', '--json')).stdout).endpoints[0].status.io).toBeNull();
    expect((await ask('status')).stdout).not.toContain('disk:');
  });
});
