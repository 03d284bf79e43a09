/** Metrics of one member as an operator of a Raft service expects them; read from it when somebody asks. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { MachineView } from '../machine/api.ts';
import type { Alarm, MemberStatus } from '../node/types.ts';
import { BoundedLabel } from './labels.ts';
import { phaseSuspicion } from './suspicion.ts';

/** A record, so that one that is new is not forgotten. */
const ALARMS: Readonly<Record<Alarm, true>> = {
  AUTOMATION_PAUSED: true,
  EVICTION_BLOCKED: true,
  LAGGING: true,
  NO_SPACE: true,
  PARTITIONED: true,
  PENDING_EVICTION: true,
  PERMIT_ASYNC: true,
  RECOVERING: true,
};

export interface IoReading {
  readonly bytesProposed: number;
  readonly bytesWritten: number;
  readonly maxIoOverheadRatio: number;
}

export interface DetectorReading {
  readonly stalls: number;
  readonly agentsWatched: number;
  /** The cluster's time while this member leads; null: it does not. */
  readonly nowMs: number | null;
}

export interface ProcessReading {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Seconds since 1970. */
  readonly startedAt: number;
}

export interface MemberReading {
  readonly status: MemberStatus;
  readonly view: MachineView;
  readonly io: IoReading;
  readonly detector: DetectorReading;
  readonly process: ProcessReading;
}

/** Name, help, and the value of a reading. */
type Plain = readonly [name: string, help: string, value: (reading: MemberReading) => number];

const GAUGES: readonly Plain[] = [
  [
    'partition_duration_seconds',
    'Without contact with a majority for so long while PARTITIONED; otherwise how long the last partition lasted, 0 for none.',
    ({ status }) => status.partitionMs / 1_000,
  ],
  ['max_io_overhead_ratio', 'Bytes that the process wrote for each byte proposed.', ({ io }) => io.maxIoOverheadRatio],
  ['quorate_raft_leader', '1 while this member leads.', ({ status }) => flag(status.raft.role === 'leader')],
  ['quorate_raft_has_leader', '1 while a leader is known here.', ({ status }) => flag(status.raft.leader !== null)],
  [
    'quorate_raft_voter',
    '1 while this member votes.',
    ({ status: { raft, memberId } }) => flag(raft.configuration.voters.includes(memberId)),
  ],
  ['quorate_raft_term', 'Raft term.', ({ status }) => status.raft.term],
  ['quorate_raft_first_index', 'First entry that the log holds.', ({ status }) => status.raft.firstIndex],
  ['quorate_raft_last_index', 'Last entry of the log.', ({ status }) => status.raft.lastIndex],
  ['quorate_raft_durable_index', 'Last entry that is fsynced here.', ({ status }) => status.raft.durableIndex],
  ['quorate_raft_commit_index', 'Last entry that is known to be committed.', ({ status }) => status.raft.commitIndex],
  ['quorate_raft_applied_index', 'Last entry that is applied.', ({ status }) => status.appliedIndex],
  ['quorate_stored_index', 'Entry after which the tables are on disk.', ({ status }) => status.storedIndex],
  ['quorate_feature_level', 'Feature level of the cluster.', ({ status }) => status.featureLevel],
  ['quorate_proposals_waiting', 'Mutations that wait for their commit.', ({ status }) => status.waitingProposals],
  ['quorate_watches', 'Open watches.', ({ status }) => status.watches],
  ['quorate_sessions', 'Open sessions.', ({ status }) => status.sessions],
  ['quorate_snapshot_transfers', 'Images on their way to followers.', ({ status }) => status.transfers.length],
  ['quorate_attempts_running', 'Attempts at phases that run.', ({ view }) => view.rows.attemptRunning.size],
  ['quorate_recoveries_open', 'Recoveries that may start or are active.', ({ view }) => view.rows.recoveryOpen.size],
  ['quorate_alerts_pending', 'Alerts that the webhook has not taken.', ({ view }) => view.rows.alertPending.size],
  [
    'quorate_agents_watched',
    'Agents whose heartbeats this leader remembers.',
    ({ detector }) => detector.agentsWatched,
  ],
  ['process_resident_memory_bytes', 'Resident memory.', ({ process }) => process.residentBytes],
  ['process_start_time_seconds', 'Start of the process since 1970.', ({ process }) => process.startedAt],
  ['nodejs_heap_used_bytes', 'Heap that is in use.', ({ process }) => process.heapBytes],
];

const COUNTERS: readonly Plain[] = [
  ['quorate_proposed_bytes_total', 'Bytes of commands that were applied.', ({ io }) => io.bytesProposed],
  ['quorate_written_bytes_total', 'Bytes that the process caused to be written.', ({ io }) => io.bytesWritten],
  ['quorate_detector_stalls_total', 'Stalls of this process while it led.', ({ detector }) => detector.stalls],
  ['process_cpu_seconds_total', 'User and system time.', ({ process }) => process.cpuSeconds],
];

export class MemberMetrics {
  readonly #gauges: readonly (readonly [Gauge, Plain[2]])[];
  readonly #counters: readonly (readonly [Counter, Plain[2]])[];
  readonly #alarm: Gauge<'alarm'>;
  readonly #peerActive: Gauge<'peer'>;
  readonly #peerLag: Gauge<'peer'>;
  readonly #phi: Gauge<'phase'>;
  readonly #phases = new BoundedLabel();

  constructor(registry: Registry) {
    const registers = [registry];
    this.#gauges = GAUGES.map(([name, help, value]) => [new Gauge({ name, help, registers }), value]);
    this.#counters = COUNTERS.map(([name, help, value]) => [new Counter({ name, help, registers }), value]);
    this.#alarm = new Gauge({
      name: 'quorate_alarm',
      help: '1 while the alarm is on; docs/runbooks says what it means.',
      labelNames: ['alarm'],
      registers,
    });
    this.#peerActive = new Gauge({
      name: 'quorate_raft_peer_active',
      help: 'On the leader: 1 while the member was heard within the last election timeout.',
      labelNames: ['peer'],
      registers,
    });
    this.#peerLag = new Gauge({
      name: 'quorate_raft_peer_lag_entries',
      help: 'On the leader: entries of its log that the member has not acknowledged.',
      labelNames: ['peer'],
      registers,
    });
    this.#phi = new Gauge({
      name: 'quorate_phase_suspicion_phi',
      help: 'On the leader: the highest phi of the running attempts at a phase (phi accrual); shown only, not decided by.',
      labelNames: ['phase'],
      registers,
    });
  }

  read(reading: MemberReading): void {
    for (const [gauge, value] of this.#gauges) gauge.set(value(reading));
    for (const [counter, value] of this.#counters) {
      counter.reset();
      counter.inc(Math.max(0, value(reading)));
    }
    const { status, view, detector } = reading;
    for (const alarm of Object.keys(ALARMS) as Alarm[]) this.#alarm.set({ alarm }, flag(status.alarms.includes(alarm)));
    this.#peerActive.reset();
    this.#peerLag.reset();
    for (const { id: peer, active, matchIndex } of status.raft.peers) {
      this.#peerActive.set({ peer }, flag(active));
      this.#peerLag.set({ peer }, Math.max(0, status.raft.lastIndex - matchIndex));
    }
    this.#phi.reset();
    if (detector.nowMs === null) return;
    const highest = new Map<string, number>();
    for (const [name, phi] of phaseSuspicion(view, detector.nowMs)) {
      const phase = this.#phases.of(name);
      highest.set(phase, Math.max(phi, highest.get(phase) ?? 0));
    }
    for (const [phase, phi] of highest) this.#phi.set({ phase }, phi);
  }
}

function flag(on: boolean): number {
  return on ? 1 : 0;
}
