/** What a run's folder says about the run, as far as the report needs it. What is missing is empty, so that a broken run has a report, too. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { eventOf, field, type HistoryEvent, readLines } from '../checkers/operation.ts';
import type { Sample } from '../record/sampler.ts';

/** A fault while it lasted. */
export interface FaultSpan {
  readonly name: string;
  readonly startNs: number;
  /** null: it was still there when the run ended. */
  readonly stopNs: number | null;
  readonly targets: unknown;
}

export interface FileEntry {
  /** Relative to the folder. */
  readonly path: string;
  readonly bytes: number;
}

export interface RunData {
  /** `run.json`, whatever is in it. */
  readonly run: unknown;
  readonly samples: readonly Sample[];
  readonly faults: readonly FaultSpan[];
  readonly files: readonly FileEntry[];
}

export async function readRun(dir: string): Promise<RunData> {
  const runFile = join(dir, 'run.json');
  const run: unknown = existsSync(runFile) ? JSON.parse(readFileSync(runFile, 'utf8')) : null;
  const samples = (await readAll(join(dir, 'samples.ndjson'))) as readonly Sample[];
  const nemesis = (await readAll(join(dir, 'nemesis.ndjson'))).map(eventOf);
  return { run, samples, faults: spansOf(nemesis), files: filesOf(dir) };
}

async function readAll(path: string): Promise<readonly unknown[]> {
  if (!existsSync(path)) return [];
  const all: unknown[] = [];
  for await (const one of readLines(path)) all.push(one);
  return all;
}

/** Pairs `NAME-start` with the next `NAME-stop` that has none yet. */
export function spansOf(events: readonly HistoryEvent[]): readonly FaultSpan[] {
  const open = new Map<string, { readonly startNs: number; readonly targets: unknown }[]>();
  const spans: FaultSpan[] = [];
  for (const { f, time, value } of events) {
    const [, name, what] = /^(.*)-(start|stop)$/.exec(f) ?? [];
    if (name === undefined) continue;
    const waiting = open.get(name) ?? [];
    open.set(name, waiting);
    if (what === 'start') waiting.push({ startNs: numberOf(field(value, 'beganAtNs')) ?? time, targets: value });
    else {
      const begun = waiting.shift();
      if (begun !== undefined) spans.push({ name, ...begun, stopNs: time });
    }
  }
  for (const [name, waiting] of open) for (const begun of waiting) spans.push({ name, ...begun, stopNs: null });
  return spans.sort((a, b) => a.startNs - b.startNs);
}

function filesOf(dir: string): readonly FileEntry[] {
  const files: FileEntry[] = [];
  for (const folder of ['', 'members/']) {
    if (!existsSync(join(dir, folder))) continue;
    for (const entry of readdirSync(join(dir, folder), { withFileTypes: true })) {
      const path = `${folder}${entry.name}`;
      const isShown = entry.isFile() && path !== 'report.html' && (folder === '' || entry.name.endsWith('.log'));
      if (isShown) files.push({ path, bytes: statSync(join(dir, path)).size });
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}
