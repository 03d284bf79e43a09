/**
 * Histories that others recorded, with known verdicts, one event to a line: `{"p": process, "t": "invoke|ok|fail|info", "f": operation,
 * "k": key, "v": value}`, and a `manifest.json` that says what they are of.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { byKey, type EventType, type Operation, Pairing } from '../operation.ts';
import { type Reading, registerCalls, textCalls } from './calls.ts';
import { RegisterModel, TextModel } from './model.ts';
import { type Limits, search } from './search.ts';

export interface Recorded {
  readonly file: string;
  readonly model: 'cas-register' | 'kv get/put/append';
  readonly initial: unknown;
  readonly linearizable: boolean;
  readonly events: number;
  readonly note?: string;
}

export function readManifest(folder: string): readonly Recorded[] {
  return JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as readonly Recorded[];
}

interface RecordedEvent {
  readonly p: number | string;
  readonly t: EventType;
  readonly f: string;
  readonly k?: string;
  readonly v: unknown;
}

export function readRecorded(text: string): readonly Operation[] {
  const pairing = new Pairing();
  const lines = text.split('\n').filter((line) => line !== '');
  for (const [index, line] of lines.entries()) {
    const { p, t, f, k, v } = JSON.parse(line) as RecordedEvent;
    pairing.add({ index, time: index, process: p, type: t, f, key: k ?? null, value: v });
  }
  return pairing.end();
}

/** What `fail` and `nil` mean differs between the recorders: the manifest's notes say so in their words, or else who they are. */
export function readingOf({ file, note }: Recorded): Reading {
  const knossos = file.startsWith('knossos-');
  const dropped = note?.includes(':fail = did not happen') ?? knossos;
  return { failedCas: () => !dropped, nullReadIsUnknown: note?.includes('nil = unknown value') ?? knossos };
}

export interface RecordedResult {
  readonly kind: 'linearizable' | 'violation' | 'unknown';
  readonly operations: number;
  readonly points: number;
  readonly ms: number;
}

export function checkRecorded(folder: string, recorded: Recorded, limits?: Limits): RecordedResult {
  const begun = performance.now();
  const operations = readRecorded(readFileSync(join(folder, recorded.file), 'utf8'));
  let points = 0;
  let kind: RecordedResult['kind'] = 'linearizable';
  for (const part of byKey(operations).values()) {
    const result = checkPart(recorded, part, limits);
    points += result.points;
    if (result.kind === 'violation' || (result.kind === 'unknown' && kind === 'linearizable')) kind = result.kind;
  }
  return { kind, operations: operations.length, points, ms: performance.now() - begun };
}

function checkPart(
  recorded: Recorded,
  part: readonly Operation[],
  limits?: Limits,
): { readonly kind: RecordedResult['kind']; readonly points: number } {
  if (recorded.model === 'kv get/put/append')
    return search(new TextModel(String(recorded.initial ?? '')), textCalls(part), limits);
  const model = new RegisterModel(recorded.initial);
  return search(model, registerCalls(model, part, readingOf(recorded)), limits);
}
