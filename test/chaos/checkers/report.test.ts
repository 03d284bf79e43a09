/** The page of a run needs nothing but itself and says everything; histories in Jepsen's form. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { check } from '../../../jepsen-style/checkers/check.ts';
import type { HistoryEvent } from '../../../jepsen-style/checkers/operation.ts';
import type { Verdict } from '../../../jepsen-style/checkers/verdict.ts';
import { spansOf } from '../../../jepsen-style/report/data.ts';
import { ednLine, ednOf } from '../../../jepsen-style/report/edn.ts';
import { lanesOf } from '../../../jepsen-style/report/lanes.ts';
import { standingOf } from '../../../jepsen-style/report/page.ts';
import { drawRun } from '../../../jepsen-style/report/plot.ts';
import { writeReport } from '../../../jepsen-style/report/report.ts';
import { drawTimeline } from '../../../jepsen-style/report/timeline.ts';
import { op } from './support.ts';
import { writeSyntheticRun } from './synthetic-run.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quorate-report-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const pageOf = async (verdicts?: readonly Verdict[]): Promise<string> => {
  const path = await writeReport(dir, verdicts ?? (await check(dir)));
  expect(path).toBe(join(dir, 'report.html'));
  return readFileSync(path, 'utf8');
};

describe('the report', () => {
  it('is one file without anything from elsewhere', async () => {
    writeSyntheticRun(dir, { seconds: 60, faults: 8, spoiled: true });
    const html = await pageOf();
    expect(html).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\bsrc=|https?:/);
    for (const [, href] of html.matchAll(/href="([^"]*)"/g)) expect(existsSync(join(dir, href ?? ''))).toBe(true);
  });

  it('says what was found, with the histories drawn', async () => {
    writeSyntheticRun(dir, { seconds: 60, faults: 8, spoiled: true });
    const html = await pageOf();
    expect(html).toContain('<span class="pill bad">violation</span>');
    expect(html.match(/<svg class="timeline"/g)).toHaveLength(3);
    expect(html.match(/class="op stuck"/g)).toHaveLength(3);
    expect(html).toContain('register r2 is not linearizable: read → &quot;x&quot; by 90 fits nowhere');
    expect(html).toContain('83.2 s: m3 ended by itself (exit code 1): &lt;unknown&gt;');
  });

  it('says what was done, on what, and how to do it again', async () => {
    writeSyntheticRun(dir, { seconds: 60, faults: 8, spoiled: false });
    const html = await pageOf();
    const facts = [
      'Chaos run, seed 42',
      '16 046',
      'longest 2.4 s, median 1.9 s',
      'A processor &lt;of some kind&gt;',
      'faketime: libfaketime is not installed',
      '--minutes 1 --seed 42 --members 5 --nemesis partition-halves,',
      '--workload register,set,fencing --pairs',
      'history-register.ndjson',
      'history-register.edn',
      'members/m4.log',
    ];
    for (const fact of facts) expect(html).toContain(fact);
    expect(html.match(/<g class="fault /g)).toHaveLength(8);
  });

  it('of a folder with next to nothing in it is a report, too', async () => {
    const html = await pageOf([]);
    expect(html).toContain('not decided');
    expect(html).toContain('No checker has looked at this run.');
  });

  it('calls a run good only when everything was decided and kept', () => {
    const valid: Verdict = { checker: 'c', workload: 'w', valid: true, detail: '' };
    expect(standingOf({}, [valid])).toBe('good');
    expect(standingOf({}, [])).toBe('open');
    expect(standingOf({}, [valid, { ...valid, valid: 'unknown' }])).toBe('open');
    expect(
      standingOf({}, [
        { ...valid, valid: 'unknown' },
        { ...valid, valid: false },
      ]),
    ).toBe('bad');
    expect(standingOf({ findings: ['one'] }, [valid])).toBe('bad');
    expect(standingOf({ serviceLevels: { met: false } }, [valid])).toBe('bad');
  });
});

describe('the picture', () => {
  it('has numbers everywhere, however empty a run was', () => {
    const silent = { time: 1e9, leader: null, term: 0, ok: 0, fail: 0, info: 0, latencyMs: null };
    const fault = { name: 'kill-all', startNs: 5e8, stopNs: null, targets: ['<all>'] };
    for (const svg of [drawRun([], []), drawRun([silent], []), drawRun([silent], [fault])]) {
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    }
    expect(drawRun([silent], [fault])).toContain('&lt;all&gt;');
  });

  it('pairs the beginnings and ends of faults, also of two of a name and of one that never ended', () => {
    const event = (index: number, f: string): HistoryEvent => ({
      index,
      time: index * 10,
      process: 'nemesis',
      type: 'info',
      f,
      value: null,
    });
    const events = ['kill-start', 'kill-start', 'clock-skipped', 'kill-stop', 'disk-full-start', 'kill-stop'].map(
      (f, at) => event(at, f),
    );
    expect(spansOf(events).map(({ name, startNs, stopNs }) => [name, startNs, stopNs])).toEqual([
      ['kill', 0, 30],
      ['kill', 10, 50],
      ['disk-full', 40, null],
    ]);
  });

  it('never puts two labels over each other', () => {
    const bars = fc.array(fc.tuple(fc.nat(1_000), fc.integer({ min: 1, max: 200 })), { maxLength: 60 });
    const property = fc.property(bars, (drawn) => {
      const sorted = drawn.map(([from, length]) => ({ from, to: from + length })).sort((a, b) => a.from - b.from);
      const lanes = lanesOf(sorted, 4);
      for (const [i, one] of sorted.entries())
        for (const [j, other] of sorted.entries())
          if (j > i && lanes[i] === lanes[j]) expect(other.from).toBeGreaterThanOrEqual(one.to + 4);
    });
    fc.assert(property, { numRuns: 200 });
  });

  it('of a history gives every bar room for its label', () => {
    const operations = [
      op({ by: 'a', f: 'write', value: 'a rather long value', at: [0, 3] }),
      op({ by: 'b', f: 'read', result: null, at: [1, 2] }),
      op({ by: 'c', f: 'cas', value: ['x', 'y'], at: [4, 5], outcome: 'info' }),
    ];
    const svg = drawTimeline({ kind: 'history', title: 'a < b', operations, stuck: [1] });
    const drawn = [...svg.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"[^>]*\/><text[^>]*>([^<]*)</g)];
    const labels = drawn.map(([, , label]) => label?.replaceAll('&quot;', '"') ?? '');
    expect(labels).toEqual(['write "a rather long value"', 'read → null', 'cas ["x","y"] ?']);
    // 12 px of a monospaced font are about 7.2 px wide.
    for (const [at, [, width]] of drawn.entries())
      expect(Number(width)).toBeGreaterThan((labels[at]?.length ?? 0) * 7.2 + 10);
    expect(svg).toContain('aria-label="a &lt; b"');
    expect(svg).toContain('class="op stuck"');
    expect(svg).toContain('class="op info"');
  });
});

describe("histories in Jepsen's form", () => {
  const event: HistoryEvent = { index: 3, time: 12.4, process: 0, type: 'ok', f: 'read', key: 'r1', value: null };

  it('are one EDN map a line', () => {
    expect(ednLine(event)).toBe('{:type :ok, :f :read, :value ["r1" nil], :process 0, :time 12, :index 3}');
    expect(ednLine({ ...event, key: null, f: 'cas', value: [null, 5] })).toContain(':f :cas, :value [nil 5]');
    const failed = { ...event, type: 'fail', error: 'VERSION_MISMATCH' } as const;
    expect(ednLine(failed)).toContain(':index 3, :error "VERSION_MISMATCH"}');
    const nemesis = {
      ...event,
      process: 'nemesis',
      key: null,
      f: 'kill-leader-start',
      value: { targets: ['m1'], all: false },
    };
    expect(ednLine(nemesis)).toContain(
      ':f :kill-leader-start, :value {:targets ["m1"], :all false}, :process :nemesis',
    );
  });

  it('keep every text and name apart', () => {
    expect(ednOf('a "quoted" \\ line\nand \b \f \u0001')).toBe(
      '"a \\"quoted\\" \\\\ line\\nand \\u0008 \\u000c \\u0001"',
    );
    expect(ednOf('\\b')).toBe('"\\\\b"');
    expect(ednOf({ 'two words': 1, '1st': 2, ok: 1.5 })).toBe('{"two words" 1, "1st" 2, :ok 1.5}');
    expect(ednOf([Number.NaN, undefined, true])).toBe('[nil nil true]');
  });

  it('are written beside those of the runner, line by line', async () => {
    writeSyntheticRun(dir, { seconds: 10, faults: 2, spoiled: false });
    await writeReport(dir, []);
    for (const name of ['history-register', 'history-set', 'nemesis']) {
      const [edn, ndjson] = ['edn', 'ndjson'].map((end) =>
        readFileSync(join(dir, `${name}.${end}`), 'utf8').split('\n'),
      );
      expect(edn).toHaveLength(ndjson?.length ?? 0);
      expect(edn?.length).toBeGreaterThan(3);
    }
  });
});
