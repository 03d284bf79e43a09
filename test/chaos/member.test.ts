/** A member of a chaos run that ends by itself: whether that was wanted. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Member, type UnexpectedExit } from '../../jepsen-style/cluster/member.ts';
import { eventually } from '../../jepsen-style/system/exec.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-chaos-member-'));
  // In place of the command line: it runs until its stdin closes.
  await writeFile(join(folder, 'cli.mjs'), 'process.stdin.resume().on("end", () => process.exit(0));\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function newMember(exits: UnexpectedExit[]): Member {
  const place = {
    slot: 0,
    peerAddress: '',
    clientAddress: '',
    httpAddress: '',
    dataDir: join(folder, 'data'),
    logFile: join(folder, 'm0.log'),
    prefix: [],
  };
  return new Member(place, join(folder, 'cli.mjs'), { id: 'm0', flags: [], env: {} }, (exit) => exits.push(exit));
}

describe('a member that ends', () => {
  it('is reported, unless a fault was to end it; that leave is over when the fault is', async () => {
    const exits: UnexpectedExit[] = [];
    const member = newMember(exits);
    const end = async (): Promise<void> => {
      member.signal('SIGKILL');
      expect(await eventually(() => !member.running, 5_000, 10)).toBe(true);
    };
    member.start();
    await end();
    expect(exits).toHaveLength(1);

    member.start();
    member.expectExit();
    await end();
    expect(exits).toHaveLength(1);

    // A full disk that the member survived: it is not to end any more.
    member.start();
    member.expectExit();
    member.start();
    await end();
    expect(exits).toHaveLength(2);
    expect(exits[1]).toMatchObject({ slot: 0, id: 'm0', signal: 'SIGKILL' });
  });
});
