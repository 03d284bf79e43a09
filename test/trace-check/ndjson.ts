/** Traces as members write them (`src/server/core-trace.ts`), by stream and member. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TraceEvent } from '../../src/raft/trace.ts';
import type { MemberTrace } from './checker.ts';

type Line = { readonly at: number; readonly member: string; readonly stream: number } & (
  | TraceEvent
  | { readonly kind: 'full'; readonly bytesMax: number }
);

/** null: no JSON. Throws for JSON that no member wrote: another folder was meant. */
function parse(line: string): Line | null {
  let value: Line | null;
  try {
    value = JSON.parse(line) as Line | null;
  } catch {
    return null;
  }
  const isEvent =
    typeof value?.at === 'number' &&
    typeof value.member === 'string' &&
    typeof value.stream === 'number' &&
    typeof value.kind === 'string';
  if (!isEvent) throw new Error(`no event of a trace: ${line.slice(0, 120)}`);
  return value;
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
  return tracesOf(files.flatMap((name) => linesOf(folder, name)));
}

function linesOf(folder: string, name: string): Line[] {
  try {
    return parseLines(readFileSync(join(folder, name), 'utf8'));
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Members that the traces tell of as voters, and that left none: what they did is not looked at. */
export function missingVoters(traces: readonly MemberTrace[]): readonly string[] {
  const voters = new Set<string>();
  const note = ({
    voters: now,
    votersOutgoing: before,
  }: {
    voters: readonly string[];
    votersOutgoing: readonly string[];
  }) => {
    for (const id of [...now, ...before]) voters.add(id);
  };
  for (const event of traces.flatMap(({ events }) => events)) {
    if (event.kind === 'configuration') note(event.placed.configuration);
    if (event.kind === 'start') for (const { configuration } of event.configurations) note(configuration);
  }
  for (const { member } of traces) voters.delete(member);
  return [...voters].sort();
}
