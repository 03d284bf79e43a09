/** An image that was installed, and what the store remembers of it after a loss of power (W4). */
import { expect, it } from 'vitest';
import { segmentPath } from '../../src/wal/segment.ts';
import { closed, LOG, member, open } from './support.ts';

it('W4: a log that was told of an image which the store takes for untold: the rest is not thrown away for it', async () => {
  const machine = await member();
  machine.folder.set(5, 2, true);
  await closed(await open(machine));
  // A loss of power took back that the log was told; then the segment that says so is lost as well.
  machine.folder.set(5, 2, true);
  machine.disk.delete(`${LOG}/${segmentPath(1)}`);
  const storage = await open(machine);
  expect(storage.recovering).toBe(true);
  expect(storage.report.problem?.message).toMatch(/begins at entry \d+, but the store stands after entry 5/);
  expect(storage.wal.streams).toMatchObject([{ firstIndex: 6, lastIndex: 5, baseTerm: 2 }]);
  await closed(storage);
});
