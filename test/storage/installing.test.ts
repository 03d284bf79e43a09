/** A crash between the installation of an image and the log's being told, and damage to the log (W4). */
import { expect, it } from 'vitest';
import { segmentPath } from '../../src/wal/segment.ts';
import { closed, LOG, member, open } from './support.ts';

it('W4: what is left of a log is not thrown away for an image that lies before it', async () => {
  const machine = await member();
  // The log holds entries behind the image, and is to keep them; but its oldest segment is lost.
  machine.folder.set(5, 2, true);
  machine.disk.delete(`${LOG}/${segmentPath(1)}`);
  const storage = await open(machine);
  expect(storage.recovering).toBe(true);
  expect(storage.report.problem?.message).toMatch(/begins at entry \d+, but the store stands after entry 5/);
  expect(storage.wal.streams).toMatchObject([{ firstIndex: 6, lastIndex: 5, baseTerm: 2 }]);
  await closed(storage);
});
