/** All metrics of a member, in the text format of Prometheus. docs/metrics.md lists them. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Applied, MachineView } from '../machine/api.ts';
import type { Notice } from '../node/options.ts';
import type { MemberPort, MutationOutcome } from '../node/types.ts';
import type { LogIndex } from '../types/ids.ts';
import type { WalEvent } from '../wal/types.ts';
import { MemberMetrics, type MemberReading } from './member.ts';
import { ReplicatedMetrics } from './replicated.ts';
import { Tally } from './tally.ts';

/** An fsync takes 100 µs on a good disk, and a second on one that is about to be a problem; seconds. */
const FSYNC_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** A commit is an fsync and a round trip; seconds. */
const PROPOSAL_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export class Metrics {
  readonly #registry = new Registry();
  readonly #replicated: ReplicatedMetrics;
  readonly #member: MemberMetrics;
  readonly #fsync: Histogram;
  readonly #proposals: Tally<'outcome'>;
  readonly #proposalSeconds: Histogram;
  readonly #leaderChanges: Counter;
  readonly #images: Counter<'outcome'>;
  readonly #nowMs: () => number;
  #reading: (() => MemberReading) | null = null;
  #leader: string | null = null;

  /** `nowMs`: monotonic. */
  constructor(version: string, nowMs: () => number) {
    this.#nowMs = nowMs;
    const registers = [this.#registry];
    this.#replicated = new ReplicatedMetrics(this.#registry);
    this.#member = new MemberMetrics(this.#registry);
    const build = new Gauge({
      name: 'quorate_build_info',
      help: 'Always 1; the label has the version.',
      labelNames: ['version'],
      registers,
    });
    build.set({ version }, 1);
    this.#fsync = new Histogram({
      name: 'quorate_wal_fsync_duration_seconds',
      help: 'Duration of an fsync of the log.',
      buckets: FSYNC_BUCKETS,
      registers,
    });
    this.#proposals = new Tally({
      name: 'quorate_proposals_total',
      help: 'Mutations that clients asked of this member, by outcome: applied, indeterminate, or the reason of the refusal.',
      label: 'outcome',
      registers,
    });
    this.#proposalSeconds = new Histogram({
      name: 'quorate_proposal_duration_seconds',
      help: 'From a mutation that a client asked of this member to its answer; only those that were applied.',
      buckets: PROPOSAL_BUCKETS,
      registers,
    });
    this.#leaderChanges = new Counter({
      name: 'quorate_raft_leader_changes_total',
      help: 'Times that this member learned of another leader.',
      registers,
    });
    this.#images = new Counter({
      name: 'quorate_snapshot_images_total',
      help: 'Images that were sent, not taken or broken off, and installed here.',
      labelNames: ['outcome'],
      registers,
    });
  }

  // ------------------------------------------------------------------------------------------ what happens

  /** Entries up to `lastIndex` were in the log when the process started. */
  begin(lastIndex: LogIndex): void {
    this.#replicated.begin(lastIndex);
  }

  applied(index: LogIndex, view: MachineView, applied: Applied): void {
    this.#replicated.applied(index, view, applied);
  }

  walEvent(event: WalEvent): void {
    if (event.kind === 'synced') this.#fsync.observe(event.durationMs / 1_000);
  }

  notice(notice: Notice): void {
    if (notice.kind === 'snapshotSent') this.#images.inc({ outcome: 'sent' });
    else if (notice.kind === 'snapshotFailed') this.#images.inc({ outcome: 'failed' });
    else if (notice.kind === 'snapshotInstalled') this.#images.inc({ outcome: 'installed' });
  }

  role(leader: string | null): void {
    if (leader === null || leader === this.#leader) return;
    this.#leader = leader;
    this.#leaderChanges.inc();
  }

  /** `port`, with what clients ask of it measured. */
  measured(port: MemberPort): MemberPort {
    const mutate: MemberPort['mutate'] = async (stream, request, deadlineMs) => {
      const startedMs = this.#nowMs();
      const outcome = await port.mutate(stream, request, deadlineMs);
      this.#proposals.add(outcomeLabel(outcome));
      if (outcome.kind === 'applied') this.#proposalSeconds.observe((this.#nowMs() - startedMs) / 1_000);
      return outcome;
    };
    return {
      mutate,
      read: (stream, deadlineMs, consistency) => port.read(stream, deadlineMs, consistency),
      local: (stream) => port.local(stream),
      watch: (stream, from) => port.watch(stream, from),
      status: (stream) => port.status(stream),
      transferLeadership: (stream, to) => port.transferLeadership(stream, to),
      openImage: (stream) => port.openImage(stream),
    };
  }

  // ------------------------------------------------------------------------------------------ what is told

  /** Where the rest is read from when somebody asks. */
  attach(reading: () => MemberReading): void {
    this.#reading = reading;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    if (this.#reading !== null) this.#member.read(this.#reading());
    return this.#registry.metrics();
  }
}

function outcomeLabel(outcome: MutationOutcome): string {
  return outcome.kind === 'refused' ? outcome.reason.toLowerCase() : outcome.kind;
}
