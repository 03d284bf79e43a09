import { expect, test } from 'vitest';
import type { WatchEventKind } from '../../src/client/event-kinds.ts';
import type { EventKind } from '../../src/machine/types.ts';
import { readText } from '../tidy/files.ts';

/** The client imports nothing of the machine; so it lists the kinds again. */
test('the kinds of events that the client knows are those of the machine', () => {
  // The types say it, at compile time.
  const missing: Exclude<EventKind, WatchEventKind>[] = [];
  const surplus: Exclude<WatchEventKind, EventKind>[] = [];
  const kinds: readonly never[] = [...missing, ...surplus];
  expect(kinds).toEqual([]);
  // And the text says it, where nobody has looked at the types.
  const listed = (text: string): readonly string[] =>
    [...text.matchAll(/^ {2}\| '([a-z_.]+)'/gm)].map(([, kind = '']) => kind);
  const machine = readText('src/machine/types.ts');
  const events = machine.slice(
    machine.indexOf('export type EventKind ='),
    machine.indexOf('export interface MachineEvent'),
  );
  const ofClient = listed(readText('src/client/event-kinds.ts'));
  expect(ofClient.length).toBeGreaterThan(20);
  expect([...ofClient].sort()).toEqual([...listed(events)].sort());
});
