/**
 * Histories in the form that Jepsen writes and Knossos and Elle read: one EDN map a line, `{:type :ok, :f :read, :value …, :process 0,
 * :time 12, :index 3}`. An operation on a key has the value `[key value]`, as in `jepsen.independent`.
 */
import type { HistoryEvent } from '../checkers/operation.ts';

/** Names that EDN can have as keywords; others are written as strings. */
const KEYWORD = /^[A-Za-z*!_?$%&=<>+-][\w*!?$%&=<>+.#-]*$/;

export function ednOf(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'nil';
  if (typeof value === 'string') return textOf(value);
  if (Array.isArray(value)) return `[${value.map(ednOf).join(' ')}]`;
  const entries = Object.entries(value as Readonly<Record<string, unknown>>);
  return `{${entries.map(([name, one]) => `${keywordOf(name)} ${ednOf(one)}`).join(', ')}}`;
}

export function ednLine({ type, f, key, value, process, time, index, error }: HistoryEvent): string {
  const fields = [
    `:type :${type}`,
    `:f ${keywordOf(f)}`,
    `:value ${key === null || key === undefined ? ednOf(value) : `[${ednOf(key)} ${ednOf(value)}]`}`,
    `:process ${typeof process === 'string' ? keywordOf(process) : process}`,
    `:time ${Math.round(time)}`,
    `:index ${index}`,
    ...(error === undefined ? [] : [`:error ${ednOf(error)}`]),
  ];
  return `{${fields.join(', ')}}`;
}

function keywordOf(name: string): string {
  return KEYWORD.test(name) ? `:${name}` : textOf(name);
}

/** JSON's escapes are EDN's, but for `\b` and `\f`, which EDN only knows by number. */
function textOf(text: string): string {
  return JSON.stringify(text).replaceAll(/\\(["\\nrt]|u[0-9a-f]{4}|b|f)/g, (whole, what: string) =>
    what === 'b' ? '\\u0008' : what === 'f' ? '\\u000c' : whole,
  );
}
