/** Traces as members write them (`src/server/core-trace.ts`), by stream and member. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TraceEvent } from '../../src/raft/trace.ts';
import type { MemberTrace } from './checker.ts';

type Line = { readonly at: number; readonly member: string; readonly stream: number } & (
  | TraceEvent
  | { readonly kind: 'full'; readonly bytesMax: number }
);

function parse(line: string): Line | null {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return null;
  }
}

/** A line that was cut off ends a life: it is the last one, or the next one is a start. Throws for others that cannot be read. */
export function parseLines(text: string): Line[] {
  const parsed: Line[] = [];
  let cut = false;
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const value = parse(line);
    if (cut && value?.kind !== 'start') throw new Error(`line ${at + 1} goes on behind one that cannot be read`);
    cut = value === null;
    if (value !== null) parsed.push(value);
  }
  return parsed;
}

/** By stream, one trace for each member. */
export function tracesOf(lines: readonly Line[]): Map<number, MemberTrace[]> {
  const streams = new Map<number, Map<string, { events: TraceEvent[]; complete: boolean }>>();
  for (const { at, member, stream, ...event } of lines) {
    const members = streams.get(stream) ?? new Map<string, { events: TraceEvent[]; complete: boolean }>();
    streams.set(stream, members);
    const trace = members.get(member) ?? { events: [], complete: true };
    members.set(member, trace);
    if (event.kind === 'full') trace.complete = false;
    else trace.events.push(event);
  }
  const list = (members: ReadonlyMap<string, { events: TraceEvent[]; complete: boolean }>): MemberTrace[] =>
    [...members].map(([member, trace]) => ({ member, ...trace }));
  return new Map([...streams].map(([stream, members]) => [stream, list(members)]));
}

/** The traces of all members that wrote into this folder. */
export function readFolder(folder: string): Map<number, MemberTrace[]> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.ndjson'));
  return tracesOf(files.flatMap((name) => parseLines(readFileSync(join(folder, name), 'utf8'))));
}
