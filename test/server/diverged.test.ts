/** R7: the folder of a member that differed is refused. */
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { DivergedError } from '../../src/node/diverged.ts';
import { DIVERGED_FILE, refuseDiverged, writeDiverged } from '../../src/server/diverged.ts';
import { Ending } from '../../src/server/ending.ts';
import type { MemberIdentity } from '../../src/server/identity.ts';
import type { IdentityNames } from '../../src/server/removed.ts';
import { clusterId, logIndex, memberId } from '../../src/types/ids.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';

const NAMES: IdentityNames = { clusterId: clusterId('prod'), memberId: memberId('a') };
const [OWN, THEIRS] = ['1'.repeat(32), '2'.repeat(32)];
const ERROR = new DivergedError(logIndex(7), OWN, THEIRS);
const NOW_MS = Date.UTC(2026, 0, 2);

const textOf = (disk: MemoryDisk): string => new TextDecoder().decode(disk.bytes(DIVERGED_FILE));

describe('R7: diverged.json', () => {
  it('is written as a whole, the first finding stays, and the folder is refused with one sentence that says what to do', async () => {
    const disk = new MemoryDisk();
    await expect(refuseDiverged(disk, NAMES)).resolves.toBeUndefined();
    await writeDiverged(disk, ERROR, NOW_MS);
    await writeDiverged(disk, new DivergedError(logIndex(9), THEIRS, OWN), NOW_MS + 1);
    const time = '2026-01-02T00:00:00.000Z';
    expect(JSON.parse(textOf(disk))).toEqual({ version: 1, index: 7, hash: OWN, majorityHash: THEIRS, time });
    expect(disk.paths()).toEqual([DIVERGED_FILE]);
    const refusal = refuseDiverged(disk, NAMES);
    await expect(refusal).rejects.toThrow(`after entry 7 (its hash ${OWN}, theirs ${THEIRS}, found at ${time})`);
    await expect(refusal).rejects.toThrow('keep the folder for study, and replace member a of cluster prod');
    await expect(refusal).rejects.toThrow('docs/runbooks/diverged.md');
  });

  it('refuses whatever became of its content', async () => {
    const disk = new MemoryDisk();
    disk.replace(DIVERGED_FILE, new TextEncoder().encode('{'));
    await expect(refuseDiverged(disk, NAMES)).rejects.toThrow('differed from that of a majority, so its data folder');
  });
});

describe('R7: a member that differs ends', () => {
  const identity = {} as MemberIdentity;
  const logger = pino({ enabled: false });

  it('only after that is durable', async () => {
    const steps: string[] = [];
    const ending = new Ending(identity, logger, async () => {
      await Promise.resolve();
      steps.push('written');
    });
    const ended = ending.failed.then((error) => steps.push(error.name));
    ending.fail(ERROR);
    await ended;
    expect(steps).toEqual(['written', 'DivergedError']);
  });

  it('also when that cannot be written', async () => {
    const ending = new Ending(identity, logger, () => Promise.reject(new Error('the disk')));
    ending.fail(ERROR);
    expect(await ending.failed).toBe(ERROR);
  });
});
