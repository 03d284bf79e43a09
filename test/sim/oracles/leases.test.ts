/** LK alarms when a token does not rise, when old work counts, and when a session ends before its time; else it does not. */
import { describe, expect, it } from 'vitest';
import type { MachineView } from '../../../src/machine/api.ts';
import type { Command, CommandBody, MachineEvent } from '../../../src/machine/types.ts';
import { clusterTimeMs, fencingToken, revision, sessionId } from '../../../src/types/ids.ts';
import type { Committed } from './history.ts';
import { Leases } from './leases.ts';
import type { Scene } from './oracle.ts';

const TTL_MS = 1_000;

/** Feeds entries to the oracle; `alive` are the sessions that the state holds after the entry. */
function watch() {
  const alarms: string[] = [];
  const leases = new Leases({
    violate: (oracle: string, text: string) => alarms.push(`${oracle}: ${text}`),
  } as unknown as Scene);
  const commit = (index: number, entry: Partial<Committed>, alive: readonly number[] = []): void => {
    const view = { session: (id: number) => (alive.includes(id) ? { ttlMs: TTL_MS } : null) } as unknown as MachineView;
    leases.committed({ index, term: 1, command: null, events: [], view, ...entry });
  };
  return { alarms, commit };
}

function command(timeMs: number, body: CommandBody, session: number | null = null): Command {
  const ref = session === null ? null : { id: sessionId(session), sequence: 0, ackedThrough: 0 };
  return { timeMs: clusterTimeMs(timeMs), session: ref, caller: '', traceId: '', body };
}

function event(kind: MachineEvent['kind'], token: number): MachineEvent {
  const run = { loop: 'l', g: 1, phase: 'p', attempt: 1, caller: '', traceId: '', outcome: '', vectorClock: [] };
  return { ...run, revision: revision(token), ordinal: 0, timeMs: clusterTimeMs(1), kind, token: fencingToken(token) };
}

const opening: CommandBody = { kind: 'openSession', ttlMs: TTL_MS };
const keeping: CommandBody = { kind: 'keepAliveSession' };
const nothing: CommandBody = { kind: 'advanceTime' };

describe('LK', () => {
  it('lets a session end in time, be closed, and be renewed', () => {
    const { alarms, commit } = watch();
    commit(1, { command: command(100, opening) }, [1]);
    commit(2, { command: command(900, keeping, 1) }, [1]);
    commit(3, { command: command(1_899, nothing) }, [1]);
    commit(4, { command: command(1_900, nothing) });
    commit(5, { command: command(1_900, opening) }, [5]);
    commit(6, { command: command(1_901, { kind: 'closeSession' }, 5) });
    expect(alarms).toEqual([]);
  });

  it('alarms when a session ends although it was renewed, or in the first time of a leader', () => {
    const renewed = watch();
    renewed.commit(1, { command: command(100, opening) }, [1]);
    renewed.commit(2, { command: command(900, keeping, 1) }, [1]);
    renewed.commit(3, { command: command(1_899, nothing) });
    expect(renewed.alarms).toEqual(['LK: at revision 3 session 1 ends at 1899, before 1900']);
    const reign = watch();
    reign.commit(1, { command: command(100, opening) }, [1]);
    reign.commit(2, { term: 2, command: command(1_000, nothing) }, [1]);
    reign.commit(3, { term: 2, command: command(1_999, nothing) });
    expect(reign.alarms).toEqual(['LK: at revision 3 session 1 ends at 1999, before 2000']);
  });

  it('alarms when a token does not rise, and when work with an old one counts', () => {
    const { alarms, commit } = watch();
    commit(5, { events: [event('phase_transition.started', 5)] });
    commit(6, { events: [event('phase_transition.progress', 5)] });
    commit(7, { events: [event('phase_transition.started', 7)] });
    expect(alarms).toEqual([]);
    commit(8, { events: [event('phase_transition.progress', 5)] });
    commit(9, { events: [event('phase_transition.started', 7)] });
    expect(alarms).toEqual([
      'LK: at revision 5 progress of l 1 p counts with token 5; the newest is 7',
      'LK: at revision 7 l 1 p begins with token 7 after 7',
    ]);
  });
});
