import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashRow, hashText, StateHash } from '../../src/machine/hash.ts';
import { dictionary, list, plain, record, variants } from '../../src/machine/row-codec.ts';
import { Table } from '../../src/machine/table.ts';
import type { RowChange } from '../../src/machine/types.ts';

interface Row {
  readonly n: number;
  readonly text: string;
}

const codec = record<Row>({ n: plain<number>(), text: plain<string>() });

function makeTable(hash = new StateHash()): { table: Table<Row>; hash: StateHash } {
  return { table: new Table('t', codec, hash, { writes: 0 }), hash };
}

const hashOf = ({ table, hash }: { table: Table<Row>; hash: StateHash }): string => {
  table.settle();
  return hash.toHex();
};

const take = (table: Table<Row>): RowChange[] => {
  const changes: RowChange[] = [];
  table.takeChanges(changes);
  return changes;
};

describe('rows as text', () => {
  it('do not depend on the order in which properties were set, at any depth', () => {
    type Inner = { kind: 'a'; x: number; y: string } | { kind: 'b'; z: readonly Row[] };
    const outer = record<{ one: Inner; two: Readonly<Record<string, string>> }>({
      one: variants<Inner>({
        a: record({ x: plain<number>(), y: plain<string>() }),
        b: record({ z: list(codec) }),
      }),
      two: dictionary,
    });
    const text = JSON.stringify(outer.pack({ one: { kind: 'a', x: 1, y: 'q' }, two: { b: '1', a: '2' } }));
    expect(text).toBe('[["a",[1,"q"]],[["a","2"],["b","1"]]]');
    expect(JSON.stringify(outer.pack({ two: { a: '2', b: '1' }, one: { y: 'q', x: 1, kind: 'a' } }))).toBe(text);
    expect(JSON.stringify(outer.pack({ one: { kind: 'b', z: [{ text: 't', n: 1 }] }, two: {} }))).toBe(
      '[["b",[[[1,"t"]]]],[]]',
    );
    expect(outer.unpack(JSON.parse(text))).toEqual({ one: { kind: 'a', x: 1, y: 'q' }, two: { a: '2', b: '1' } });
  });

  it('of another shape are refused', () => {
    expect(() => codec.unpack([1])).toThrow('2 fields expected, 1 found');
    expect(() => codec.unpack('x')).toThrow('an array expected');
  });
});

describe('a table', () => {
  it('orders keys by code units and gives ranges from inclusive to exclusive, within the limit', () => {
    const { table } = makeTable();
    const keys = ['b', 'a', 'B', 'é', '\uffff', '😀', '', 'a b', 'a!'];
    for (const key of keys) table.put(key, { n: 1, text: key });
    const sorted = [...keys].sort();
    expect(table.range('', '\uffff\uffff', 99).map(([key]) => key)).toEqual(sorted);
    for (let limit = 0; limit <= keys.length; limit++) {
      expect(table.range('', '\uffff\uffff', limit).map(([key]) => key)).toEqual(sorted.slice(0, limit));
    }
    expect(table.range('a', 'b', 9).map(([key]) => key)).toEqual(['a', 'a b', 'a!']);
    expect(table.firstKey()).toBe('');
    expect(table.deleteRange('a', 'b', 2)).toBe(2);
    expect(table.deleteRange('a', 'b', 2)).toBe(1);
    expect(table.size).toBe(6);
  });

  it('holds more than a tree node', () => {
    const { table } = makeTable();
    for (let i = 0; i < 5_000; i++) table.put(String((i * 7_919) % 5_000).padStart(4, '0'), { n: i, text: '' });
    expect(table.size).toBe(5_000);
    expect(table.range('1000', '1003', 9).map(([key]) => key)).toEqual(['1000', '1001', '1002']);
    expect(table.deleteRange('1000', '4000', 10_000)).toBe(3_000);
    expect(table.get('2000')).toBeNull();
    expect(table.has('4000')).toBe(true);
  });

  it('gives changes once, the last value of each key, in key order', () => {
    const { table } = makeTable();
    table.put('b', { n: 1, text: '' });
    table.put('a', { n: 1, text: 'x' });
    table.put('b', { n: 2, text: '' });
    table.put('c', { n: 1, text: '' });
    table.delete('c');
    expect(table.delete('c')).toBe(false);
    expect(take(table)).toEqual([
      { table: 't', key: 'a', value: '[1,"x"]' },
      { table: 't', key: 'b', value: '[2,""]' },
      { table: 't', key: 'c', value: null },
    ]);
    expect(take(table)).toEqual([]);
    table.delete('a');
    table.settle();
    table.put('a', { n: 9, text: '' });
    expect(take(table)).toEqual([{ table: 't', key: 'a', value: '[9,""]' }]);
  });

  it('R7: the hash is that of the rows, however they came about and however often it was asked for', () => {
    const operation = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      n: fc.option(fc.nat(3)),
      after: fc.constantFrom('', '', 'settle', 'take'),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const made = makeTable();
        const rows = new Map<string, Row>();
        for (const { key, n, after } of operations) {
          if (n === null) {
            made.table.delete(key);
            rows.delete(key);
          } else {
            made.table.put(key, { n, text: key });
            rows.set(key, { n, text: key });
          }
          if (after === 'settle') made.table.settle();
          if (after === 'take') take(made.table);
        }
        const fresh = makeTable();
        const loaded = makeTable();
        for (const [key, row] of [...rows].reverse()) {
          fresh.table.put(key, row);
          loaded.table.load(key, `[${row.n},"${row.text}"]`);
        }
        expect(hashOf(fresh)).toBe(hashOf(made));
        expect(hashOf(loaded)).toBe(hashOf(made));
        expect(take(loaded.table)).toEqual([]);
        for (const key of rows.keys()) made.table.delete(key);
        expect(hashOf(made)).toBe('0'.repeat(32));
        expect(made.table.size).toBe(0);
      }),
    );
  });

  it('refuses a stored key twice', () => {
    const { table } = makeTable();
    table.load('a', '[1,""]');
    expect(() => table.load('a', '[1,""]')).toThrow('stored twice');
  });
});

describe('R7: the hash', () => {
  it('never changes: members of different versions compare it', () => {
    const texts = ['', 'a', 'Quorate', 'ü😀\u0000', 'x'.repeat(1_000)];
    expect(texts.map((text) => hashText(text))).toEqual([
      { a: 0, b: 0, c: 0, d: 0 },
      { a: 244314263, b: 1111990905, c: 274514132, d: 1950411037 },
      { a: 45328853, b: -1495663820, c: 1709180077, d: 1553461058 },
      { a: 1092214571, b: 393046580, c: 1481307913, d: 2065031273 },
      { a: 401063640, b: 336482174, c: -1262750400, d: -849839477 },
    ]);
  });

  it('tells table, key and value apart', () => {
    const rows = [
      ['t', 'k', 'v'],
      ['t', 'kv', ''],
      ['t', '', 'kv'],
      ['t1', 'k', 'v'],
      ['t', '1 k', 'v'],
      ['t', 'k', 'v\u0000'],
    ] as const;
    expect(new Set(rows.map(([table, key, value]) => JSON.stringify(hashRow(table, key, value)))).size).toBe(
      rows.length,
    );
  });

  it('one changed character changes about half of the bits, in each lane', () => {
    const ones = (x: number): number => (x >>> 0).toString(2).replaceAll('0', '').length;
    let samples = 0;
    const changed = [0, 0, 0, 0];
    for (let length = 1; length <= 40; length++) {
      const text = 'abcdefgh'.repeat(5).slice(0, length);
      const before = hashText(text);
      for (let i = 0; i < length; i++) {
        const after = hashText(`${text.slice(0, i)}Z${text.slice(i + 1)}`);
        const lanes = [before.a ^ after.a, before.b ^ after.b, before.c ^ after.c, before.d ^ after.d];
        lanes.forEach((lane, k) => {
          changed[k] = (changed[k] ?? 0) + ones(lane);
        });
        samples++;
      }
    }
    for (const sum of changed) {
      expect(sum / samples).toBeGreaterThan(15);
      expect(sum / samples).toBeLessThan(17);
    }
  });

  it('has no collision among many like rows, in any 64 of its bits', () => {
    const seen = [new Set<string>(), new Set<string>()];
    for (let i = 0; i < 50_000; i++) {
      const { a, b, c, d } = hashRow('run', `loop ${String(i).padStart(16, '0')}`, `["loop",${i % 100},"RUNNING"]`);
      seen[0]?.add(`${a} ${b}`);
      seen[1]?.add(`${c} ${d}`);
    }
    expect(seen.map((set) => set.size)).toEqual([50_000, 50_000]);
  });
});
