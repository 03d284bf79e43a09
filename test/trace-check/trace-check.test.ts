/** The checker passes what a cluster did, and finds each thing that is wrong in a trace that was tampered with. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { MarkName } from '../../src/raft/marks.ts';
import type { TraceEvent } from '../../src/raft/trace.ts';
import { CoreTrace } from '../../src/server/core-trace.ts';
import { must } from '../../src/types/assert.ts';
import { DATA_STREAM, logIndex, memberId, type Term, term } from '../../src/types/ids.ts';
import { RandomCluster } from '../raft/random-cluster.ts';
import { checkTrace, type MemberTrace, type Rule } from './checker.ts';
import { missingVoters, parseLines, readFolder } from './ndjson.ts';

type Streams = Map<string, TraceEvent[]>;
type Event<K extends TraceEvent['kind']> = Extract<TraceEvent, { kind: K }>;

const cluster = new RandomCluster(7, 3, { changes: true, compaction: false, losses: false });
cluster.run(3000);
cluster.heal();

function recorded(): Streams {
  return new Map([...cluster.traces].map(([id, events]) => [id as string, [...events]]));
}

function traces(streams: Streams): MemberTrace[] {
  return [...streams].map(([member, events]) => ({ member, events, complete: true }));
}

interface Found<K extends TraceEvent['kind']> {
  readonly member: string;
  readonly events: TraceEvent[];
  readonly at: number;
  readonly event: Event<K>;
}

/** The first event of a kind that `fits`. */
function find<K extends TraceEvent['kind']>(
  streams: Streams,
  kind: K,
  fits: (event: Event<K>, events: readonly TraceEvent[], at: number) => boolean = () => true,
): Found<K> {
  for (const [member, events] of streams) {
    for (const [at, event] of events.entries()) {
      if (event.kind === kind && fits(event as Event<K>, events, at))
        return { member, events, at, event: event as Event<K> };
    }
  }
  throw new Error(`nothing of the kind ${kind} was recorded`);
}

const higher = (value: Term, by = 1): Term => term(value + by);

interface Tampering {
  readonly what: string;
  readonly rule: Rule;
  readonly change: (streams: Streams) => void;
}

const TAMPERINGS: readonly Tampering[] = [
  {
    what: 'a second durable vote in a term',
    rule: 'ES',
    change: (streams) => {
      const { events, at, event } = find(streams, 'persist', ({ hardState }) => hardState?.votedFor === memberId('m1'));
      const hardState = { ...must(event.hardState, 'vote'), votedFor: memberId('m2') };
      events.splice(at + 1, 0, { ...event, from: null, hardState });
    },
  },
  {
    what: 'a leader of a term that has one',
    rule: 'ES',
    change: (streams) => {
      const { member, event } = find(streams, 'elected');
      const other = must(
        [...streams.keys()].find((id) => id !== member),
        'another member',
      );
      streams.get(other)?.push(event);
    },
  },
  {
    what: 'a leader without the vote that it counted',
    rule: 'ES',
    change: (streams) => {
      const { member, event } = find(streams, 'elected', ({ granted }) => granted.length > 1);
      const voter = must(
        event.granted.find((id) => id !== member),
        'voter',
      );
      const kept = (streams.get(voter) ?? []).filter(
        (one) => !('term' in one && one.kind === 'vote' && one.term === event.term),
      );
      const changed = kept.map((one) =>
        one.kind === 'persist' && one.hardState?.term === event.term
          ? { ...one, hardState: { ...one.hardState, votedFor: null } }
          : one,
      );
      const started = changed.map((one) =>
        one.kind === 'start' && one.hardState.term === event.term
          ? { ...one, hardState: { ...one.hardState, votedFor: null } }
          : one,
      );
      streams.set(voter, started);
    },
  },
  {
    what: 'a leader with too few votes',
    rule: 'ES',
    change: (streams) => {
      const { events, at, event } = find(streams, 'elected', ({ granted }) => granted.length > 1);
      events[at] = { ...event, granted: event.granted.slice(0, 1), blank: [] };
    },
  },
  {
    what: 'an entry behind another one than elsewhere',
    rule: 'LM',
    change: (streams) => {
      const { events, at, event } = find(streams, 'append', ({ from, prevTerm }) => from > 2 && prevTerm > 1);
      events[at] = { ...event, prevTerm: term(event.prevTerm - 1) };
    },
  },
  {
    what: 'a leader that cuts its log',
    rule: 'LM',
    change: (streams) => {
      const { events, at, event } = find(streams, 'append', ({ spans }, all, place) => {
        const before = all[place - 1];
        return before?.kind === 'elected' && spans.length === 1;
      });
      events.splice(at + 1, 0, { kind: 'truncate', term: event.term, from: event.to, to: event.to });
    },
  },
  {
    what: 'another entry committed than before',
    rule: 'CL',
    change: (streams) => {
      const { events, at, event } = find(streams, 'append', ({ term: of, spans }, all) => {
        return spans[0]?.term === of && all.some((one) => one.kind === 'commit' && one.entryTerm === of);
      });
      const spans = event.spans.map((span) => ({ ...span, term: higher(span.term, 1000) }));
      events[at] = { ...event, term: higher(event.term, 1000), spans };
    },
  },
  {
    what: 'a leader that counts what it does not have',
    rule: 'CL',
    change: (streams) => {
      const { events, at, event } = find(streams, 'commit');
      events[at] = { ...event, index: logIndex(event.index + 5000) };
    },
  },
  {
    what: 'a commit that only the leader has on disk',
    rule: 'DG',
    change: (streams) => {
      const { member, event } = find(streams, 'commit', ({ term: of }, all, place) => {
        const elected = all.slice(0, place).findLast((one) => one.kind === 'elected');
        return elected?.kind === 'elected' && elected.term === of && elected.granted.length > 1;
      });
      for (const [id, events] of streams) {
        if (id === member) continue;
        // As if the disks of the others had never taken anything from here on.
        const at = events.findIndex((one) => 'term' in one && one.term >= event.term);
        streams.set(id, at < 0 ? events : events.slice(0, at));
      }
    },
  },
  {
    what: 'a log that ends before what was durable',
    rule: 'DG',
    change: (streams) => {
      const lives = (event: Event<'start'>, _: readonly TraceEvent[], at: number): boolean =>
        at > 0 && event.log.lastIndex > 3;
      const { events, at, event } = find(streams, 'start', lives);
      const log = { ...event.log, lastIndex: logIndex(1), spans: event.log.spans.slice(0, 1) };
      events[at] = { ...event, log, appliedIndex: logIndex(0) };
    },
  },
  {
    what: 'a durable term that is forgotten',
    rule: 'DG',
    change: (streams) => {
      const { events, at, event } = find(
        streams,
        'start',
        ({ hardState }, _, place) => place > 0 && hardState.term > 1,
      );
      events[at] = { ...event, hardState: { term: term(0), votedFor: null } };
    },
  },
  {
    what: 'a commit index that goes back',
    rule: 'MO',
    change: (streams) => {
      const { events, at, event } = find(streams, 'commit', ({ index }, all, place) => {
        const before = all.slice(0, place).findLast((one) => one.kind === 'commit' || one.kind === 'start');
        return before?.kind === 'commit' && before.index > 1 && index > before.index;
      });
      events[at] = { ...event, index: logIndex(1) };
    },
  },
  {
    what: 'a leader that lacks what was committed',
    rule: 'CL',
    change: (streams) => {
      const [id] = must([...streams][0], 'a member');
      const start = must(streams.get(id)?.[0], 'start') as Event<'start'>;
      const of = term(1_000_000);
      const hardState = { term: of, votedFor: memberId(id) };
      const granted = ['m1', 'm2', 'm3'].map(memberId);
      const nothing = { lastIndex: logIndex(0), lastTerm: term(0) };
      streams.set('x', [
        { ...start, hardState },
        { kind: 'elected', term: of, ...nothing, granted, blank: [] },
      ]);
    },
  },
  {
    what: 'a second change before the first is committed',
    rule: 'CQ',
    change: (streams) => {
      const { events, at, event } = find(streams, 'configuration', ({ committed }, all, place) => {
        const role = all.slice(0, place).findLast((one) => one.kind === 'role' || one.kind === 'start');
        return !committed && role?.kind === 'role' && role.role === 'leader';
      });
      const index = logIndex(event.placed.index + 1);
      events.splice(at + 1, 0, { ...event, placed: { ...event.placed, index } });
    },
  },
];

describe('the trace checker', () => {
  it('finds nothing wrong with what a cluster did', () => {
    const streams = recorded();
    const kinds = new Set([...streams.values()].flat().map(({ kind }) => kind));
    for (const kind of [
      'start',
      'vote',
      'campaign',
      'elected',
      'append',
      'truncate',
      'commit',
      'durable',
      'configuration',
    ] as const) {
      expect(kinds).toContain(kind);
    }
    expect(checkTrace(traces(streams))).toEqual([]);
  });

  it.each(TAMPERINGS)('finds $what', ({ rule, change }) => {
    const streams = recorded();
    change(streams);
    const rules = new Set(checkTrace(traces(streams)).map((finding) => finding.rule));
    expect([...rules]).toContain(rule);
  });

  it('concludes nothing from what is missing behind the end of a full trace', () => {
    const streams = recorded();
    const cut = traces(streams).map((trace) =>
      trace.member === 'm2' ? { ...trace, events: trace.events.slice(0, 10), complete: false } : trace,
    );
    expect(checkTrace(cut)).toEqual([]);
    const unknown = cut.map((trace) => ({ ...trace, complete: true }));
    expect(checkTrace(unknown).length).toBeGreaterThan(0);
  });
});

describe('the file of a trace', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-trace-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'm1.ndjson');
  const open = (bytesMax: number): CoreTrace =>
    new CoreTrace({ folder, bytesMax, memberId: memberId('m1'), nowMs: () => 1234.5 });
  const mark = (name: MarkName): TraceEvent => ({ kind: 'mark', name });
  const start = must(recorded().get('m1')?.[0], 'start');

  it('is read back, is bounded, and says that it is full', () => {
    const trace = open(600);
    trace.event(DATA_STREAM, mark('recovered'));
    trace.close();
    writeFileSync(file, '{"at":12,"mem', { flag: 'a' });
    const again = open(600);
    again.event(DATA_STREAM, start);
    again.event(DATA_STREAM, mark('restore'));
    for (let turn = 0; turn < 100; turn++) again.event(DATA_STREAM, mark('old_term'));
    again.close();
    const third = open(600);
    third.event(DATA_STREAM, mark('timeout_now'));
    third.close();
    expect(readFileSync(file, 'utf8').length).toBeLessThan(1000);
    const [read] = must(readFolder(folder).get(DATA_STREAM), 'stream');
    expect(read).toMatchObject({ member: 'm1', complete: false });
    expect(read?.events.slice(0, 3)).toEqual([mark('recovered'), start, mark('restore')]);
    expect(read?.events).not.toContainEqual(mark('timeout_now'));
  });

  it('is refused when it is of something else', () => {
    const op = JSON.stringify({ index: 0, time: 1, process: 0, type: 'invoke', f: 'read', value: null });
    for (const line of [op, '{}', '5', 'null']) expect(() => parseLines(`${line}\n`)).toThrow('no event of a trace');
  });

  it('of a voter that is missing is missed', () => {
    const all = [...recorded()].map(([member, events]) => ({ member, events, complete: true }));
    expect(missingVoters(all)).toEqual([]);
    expect(missingVoters(all.filter(({ member }) => member !== 'm2'))).toEqual(['m2']);
  });

  it('is refused when something was lost in the middle', () => {
    const line = JSON.stringify({ at: 1, member: 'm1', stream: 0, kind: 'mark', name: 'x' });
    expect(() => parseLines(`${line}\n{"at":\n${line}\n`)).toThrow('line 3 goes on');
    expect(parseLines(`${line}\n{"at":`)).toHaveLength(1);
  });
});
