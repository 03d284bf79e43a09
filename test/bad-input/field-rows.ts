/** Rows for fields that many requests have: what is wrong with a number, a name, a text, a header, a page. */
import * as limits from '../../src/types/limits.ts';
import type { Row } from './member-rows.ts';

const ABOVE_SAFE = 2n ** 53n;
/** What −1 is on the wire. */
const NEGATIVE = 2n ** 64n - 1n;
const BAD_NAMES: readonly (readonly [string, string])[] = [
  ['too long', 'x'.repeat(limits.NAME_LENGTH_MAX + 1)],
  ['far too long', 'x'.repeat(100_000)],
  ['a space in it', 'a b'],
  ['letters beyond ASCII', 'schlüssel'],
  ['a zero byte', 'a\u0000b'],
  ['a colon', 'a:b'],
];

export function numbers(field: string, min: bigint, max: bigint = ABOVE_SAFE - 1n, also: Row['set'] = {}): Row[] {
  const wrong: [string, bigint][] = [
    ['above 2^53 - 1', ABOVE_SAFE],
    ['negative', NEGATIVE],
  ];
  if (min > 0n) wrong.push(['below the minimum', min - 1n]);
  if (max < ABOVE_SAFE - 1n) wrong.push(['above the maximum', max + 1n]);
  const says = new RegExp(`send a whole number from ${min} to ${max}|send at most`);
  return wrong.map(([name, value]) => ({ name: `${field} ${name}`, field, set: { [field]: value, ...also }, says }));
}

export function name(field: string, empty: 'allowed' | 'refused' = 'refused'): Row[] {
  const says = /send 1 to 128 (characters|letters, digits, '\.', '_', '-' or '\/')/;
  const rows = BAD_NAMES.map(([what, value]) => ({
    name: `${field} with ${what}`,
    field,
    set: { [field]: value },
    says,
  }));
  return empty === 'allowed' ? rows : [...rows, { name: `${field} empty`, field, set: { [field]: '' }, says }];
}

export function text(field: string, lengthMax: number): Row[] {
  const says = new RegExp(`send at most ${lengthMax}|send 1 to ${lengthMax}`);
  return ['x', 'ü'].map((letter) => {
    const set = { [field]: letter.repeat(lengthMax + 1) };
    return { name: `${field} of ${lengthMax + 1} times ${letter}`, field, set, says };
  });
}

export function label(field: string): Row[] {
  const says = /send one line of plain text/;
  const controls = ['a\nb', '\u001b[31mred', '\u0000', '\u009b0m'];
  return [
    ...text(field, limits.NAME_LENGTH_MAX),
    ...controls.map((value) => ({ name: `${field} ${JSON.stringify(value)}`, field, set: { [field]: value }, says })),
  ];
}

export function header(session: 'optional' | 'required' | 'ignored'): Row[] {
  const labels = [...label('header.caller'), ...label('header.trace_id')];
  if (session === 'ignored') return labels;
  const acked: Row = {
    name: 'header.acked_through not below its own number',
    field: 'header.acked_through',
    set: { 'header.sequence': 5n, 'header.acked_through': 5n },
    says: /send at most 4/,
  };
  const missing: Row = {
    name: 'no session',
    field: 'header.session_id',
    set: { 'header.session_id': 0n },
    says: /send the session_id that OpenSession answered with/,
  };
  const alone: Row = {
    name: 'a number without a session',
    field: 'header.sequence',
    set: { 'header.session_id': 0n },
    says: /send session_id too, or 0 here/,
  };
  return [
    ...labels,
    ...numbers('header.session_id', 0n).map((row) => ({ ...row, says: /send a whole number from 1 to/ })),
    ...numbers('header.sequence', session === 'required' ? 0n : 1n),
    ...numbers('header.acked_through', 0n),
    acked,
    ...(session === 'required' ? [missing, { ...missing, name: 'no header', set: { header: undefined } }] : [alone]),
  ];
}

export function ref(): Row[] {
  const missing = {
    name: 'ref missing',
    field: 'ref',
    set: { ref: undefined },
    says: /name the loop, the round and the phase/,
  };
  return [missing, ...refFields('ref')];
}

/** Of a run that need not be named. */
export function refFields(field: string): Row[] {
  return [...name(`${field}.loop`), ...numbers(`${field}.g`, 1n), ...name(`${field}.phase`)];
}

export function clock(field = 'vector_clock'): Row[] {
  const entries = `${field}.entries`;
  const nodes = (count: number, node: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => ({ $typeName: 'quorate.v1.VectorClockEntry', node: node(i), counter: 1n }));
  const max = limits.VECTOR_CLOCK_ENTRIES_MAX;
  return [
    {
      name: 'too many entries',
      field: entries,
      set: { [entries]: nodes(max + 1, String) },
      says: new RegExp(`send at most ${max}`),
    },
    {
      name: 'a node twice',
      field: entries,
      set: { [entries]: nodes(2, () => 'n') },
      says: /send one entry for each node/,
    },
    {
      name: 'a node without a name',
      field: `${entries}[0].node`,
      set: { [`${entries}[0].node`]: '' },
      says: /send 1 to 128/,
    },
    ...label(`${entries}[0].node`),
    ...numbers(`${entries}[0].counter`, 1n, ABOVE_SAFE - 2n),
  ];
}

export function consistency(): Row[] {
  const says = /send 1 \(linearizable\), 2 \(stale\) or 3 \(lease\), or 0 for linearizable/;
  const rows = [4, -1, 2_147_483_647].map((value) => {
    return { name: `consistency ${value}`, field: 'consistency', set: { consistency: value }, says };
  });
  const field = 'max_staleness_ms';
  // A bound beside a promise that is stronger: one of the two is a mistake, and nobody can tell which.
  const beside = [0, 1, 3].map((value) => ({
    name: `a bound with consistency ${value}`,
    field,
    set: { consistency: value, [field]: 1n },
    says: /send it with consistency 2 \(stale\) only/,
  }));
  return [...rows, ...beside, ...numbers(field, 0n, ABOVE_SAFE - 1n, { consistency: 2 }).map(fromOne)];
}

/** 0 is no bound; of those that are given, the least is 1. */
function fromOne(row: Row): Row {
  return { ...row, says: /send a whole number from 1 to/ };
}

export function page(): Row[] {
  const sizes = [limits.PAGE_SIZE_MAX + 1, 2 ** 32 - 1].map((size) => {
    return {
      name: `page_size ${size}`,
      field: 'page_size',
      set: { page_size: size },
      says: /send 1 to 1000, or 0 for 100/,
    };
  });
  const tokens = ['not ours!', 'Zg==', 'Zh', '_w', 'x'.repeat(5_000)].map((token) => ({
    name: `page_token ${token.slice(0, 10)}`,
    field: 'page_token',
    set: { page_token: token },
    says: /send '' or the next_page_token of the page before/,
  }));
  return [...sizes, ...tokens, ...consistency()];
}

export const token = numbers('fencing_token', 1n);
