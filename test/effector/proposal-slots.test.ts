import { expect, test } from 'vitest';
import { ProposalSlots } from '../../src/effector/proposal-slots.ts';
import { quiet } from './stage.ts';

test('so many at a time; the others wait in the order in which they came, those that are to be first before them', async () => {
  const slots = new ProposalSlots(2);
  const order: string[] = [];
  const releases: (() => void)[] = [];
  const take = (name: string, first = false): void => {
    void slots.take(first).then((release) => {
      order.push(name);
      releases.push(release);
    });
  };
  for (const name of ['a', 'b', 'c', 'd']) take(name);
  take('e', true);
  take('f', true);
  await quiet();
  expect(order).toEqual(['a', 'b']);
  while (releases.length > 0) {
    releases.shift()?.();
    await quiet();
  }
  expect(order).toEqual(['a', 'b', 'e', 'f', 'c', 'd']);
  // All of them are free again.
  take('g');
  take('h');
  take('i');
  await quiet();
  expect(order.slice(6)).toEqual(['g', 'h']);
});
