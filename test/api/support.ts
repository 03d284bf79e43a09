/** A member that answers what each test decides, behind a real gRPC server and client on loopback. */
import type { DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { type CallOptions, Client, credentials, Metadata, Server } from '@grpc/grpc-js';
import type { IdentifiedMember } from '../../src/api/context.ts';
import { serverOptions } from '../../src/api/options.ts';
import { type Api, createApi } from '../../src/api/server.ts';
import type { DomainRows, MachineView, Page } from '../../src/machine/api.ts';
import type {
  AttemptRow,
  FeatureRow,
  LoopRow,
  MemberRow,
  PlanRow,
  RunRow,
  SubStepRow,
} from '../../src/machine/rows.ts';
import { DEFAULT_MACHINE_LIMITS, MachineState } from '../../src/machine/state.ts';
import type { CommandValue, MachineEvent } from '../../src/machine/types.ts';
import type {
  MemberPort,
  MemberStatus,
  MutationOutcome,
  MutationRequest,
  ReadConsistency,
  ReadOutcome,
  TransferOutcome,
  WatchFeed,
} from '../../src/node/types.ts';
import type { RaftStatus } from '../../src/raft/types.ts';
import { methodDefinition, type ResponseOf } from '../../src/rpc/service.ts';
import { type ParsedStatus, parseStatus } from '../../src/rpc/status.ts';
import type { StoreImage } from '../../src/store/types.ts';
import {
  clusterId,
  clusterTimeMs,
  DATA_STREAM,
  type FencingToken,
  type LogIndex,
  logIndex,
  type MemberId,
  memberId,
  type Revision,
  revision,
  type StreamId,
  term,
} from '../../src/types/ids.ts';
import { err, ok, type Result } from '../../src/types/result.ts';
import { bind, captureLogger, type LogLine } from '../transport/support.ts';
import { FakeFeed } from './fake-feed.ts';

const rev = revision(7);
const time = clusterTimeMs(1000);

export function loopRow(loop: string, fields: Partial<LoopRow> = {}): LoopRow {
  const base = { plan: 'default', g: 3, createdRevision: rev, changedRevision: rev, createdAtMs: time } as const;
  return { loop, ...base, vectorClock: [['agent', 2]], ...fields };
}

export function runRow(loop: string, g: number, phase: string, fields: Partial<RunRow> = {}): RunRow {
  return {
    loop,
    g,
    phase,
    position: 0,
    state: 'RUNNING',
    attempt: 2,
    token: 9 as FencingToken,
    caller: 'agent',
    traceId: 'trace',
    completed: 1,
    total: 2,
    note: 'note',
    checkpoint: 'checkpoint',
    subStepsDone: 4,
    result: 'result',
    abortReason: '',
    startedAtMs: time,
    progressAtMs: time,
    finishedAtMs: 0,
    changedRevision: rev,
    vectorClock: [['agent', 2]],
    ...fields,
  };
}

/** Rows after `after` in the order of their keys, as the contract says. */
function pageOf<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  after: string | null,
  limit: number,
): Page<Row> {
  const rest = rows.filter((row) => after === null || keyOf(row) > after);
  const taken = rest.slice(0, limit);
  const last = taken.at(-1);
  return { rows: taken, next: rest.length > taken.length && last !== undefined ? keyOf(last) : null };
}

/** The state that a test sets up: rows are given sorted by key. */
export class FakeView implements MachineView {
  appliedIndex = logIndex(41);
  timeMs = time;
  planRows: PlanRow[] = [];
  loopRows: LoopRow[] = [];
  runRows: RunRow[] = [];
  attemptRows: AttemptRow[] = [];
  subStepRows: SubStepRow[] = [];
  memberRows: MemberRow[] = [];
  feature: FeatureRow = { level: 2, used: 1, pinned: false };
  firstRevision = rev;

  stateHash(): string {
    return '0'.repeat(32);
  }
  plan(plan: string): PlanRow | null {
    return this.planRows.find((row) => row.plan === plan) ?? null;
  }
  plans(after: string | null, limit: number): Page<PlanRow> {
    return pageOf(this.planRows, (row) => row.plan, after, limit);
  }
  loop(loop: string): LoopRow | null {
    return this.loopRows.find((row) => row.loop === loop) ?? null;
  }
  loops(after: string | null, limit: number): Page<LoopRow> {
    return pageOf(this.loopRows, (row) => row.loop, after, limit);
  }
  runs(loop: string, g: number): readonly RunRow[] {
    return this.runRows.filter((row) => row.loop === loop && row.g === g);
  }
  run(loop: string, g: number, phase: string): RunRow | null {
    return this.runs(loop, g).find((row) => row.phase === phase) ?? null;
  }
  attempts(): readonly AttemptRow[] {
    return this.attemptRows;
  }
  subSteps(_loop: string, _g: number, _phase: string, after: string | null, limit: number): Page<SubStepRow> {
    return pageOf(this.subStepRows, (row) => row.id, after, limit);
  }
  /** Real tables, for tests to put rows into. */
  readonly state = new MachineState(DEFAULT_MACHINE_LIMITS);
  get rows(): DomainRows {
    return this.state.tables.domain;
  }
  members(): readonly MemberRow[] {
    return this.memberRows;
  }
  featureLevel(): FeatureRow {
    return this.feature;
  }
  session(): null {
    return null;
  }
  sessionCount(): number {
    return 0;
  }
  firstEventRevision(): Revision {
    return this.firstRevision;
  }
  events(): readonly MachineEvent[] {
    return [];
  }
  nextTimerMs(): null {
    return null;
  }
}

export class FakeMember implements MemberPort {
  readonly view = new FakeView();
  readonly mutations: { readonly request: MutationRequest; readonly deadlineMs: number }[] = [];
  readonly watches: { readonly from: Revision; readonly feed: FakeFeed }[] = [];
  reads = 0;
  readonly consistencies: ReadConsistency[] = [];
  readonly transfers: (MemberId | null)[] = [];
  transferOutcome: TransferOutcome = 'done';
  image: StoreImage | Error | null = null;
  /** Over what `status` says of the raft stream. */
  raftFields: Partial<RaftStatus> = {};
  watchesFull = false;
  /** null: never answers. */
  outcome: MutationOutcome | Error | null = null;
  readRefusal: Extract<ReadOutcome, { kind: 'refused' }> | null = null;
  statusFields: Partial<MemberStatus> = {};

  mutate(_stream: StreamId, request: MutationRequest, deadlineMs: number): Promise<MutationOutcome> {
    this.mutations.push({ request, deadlineMs });
    if (this.outcome instanceof Error) return Promise.reject(this.outcome);
    return this.outcome === null ? new Promise(() => {}) : Promise.resolve(this.outcome);
  }
  async read(_stream: StreamId, _deadlineMs: number, consistency: ReadConsistency): Promise<ReadOutcome> {
    this.reads += 1;
    this.consistencies.push(consistency);
    return this.readRefusal ?? { kind: 'ready', view: this.view };
  }
  local(): MachineView {
    return this.view;
  }
  watch(_stream: StreamId, from: Revision): WatchFeed | null {
    if (this.watchesFull) return null;
    const feed = new FakeFeed();
    this.watches.push({ from, feed });
    return feed;
  }
  status(stream: StreamId): MemberStatus {
    const [a, b, c] = ['a', 'b', 'c'].map(memberId) as [MemberStatus['memberId'], ...MemberStatus['memberId'][]];
    const index = (value: number): LogIndex => logIndex(value);
    return {
      clusterId: clusterId('test'),
      memberId: a,
      stream,
      raft: {
        id: a,
        role: 'leader',
        term: term(5),
        votedFor: a,
        leader: a,
        lastIndex: index(43),
        lastTerm: term(5),
        durableIndex: index(42),
        commitIndex: index(41),
        appliedIndex: index(41),
        configuration: { voters: [a, b as never], votersOutgoing: [], learners: [c as never] },
        configurationIndex: index(1),
        firstIndex: index(1),
        recovering: false,
        peers: [
          {
            id: b as never,
            matchIndex: index(40),
            nextIndex: index(41),
            recovering: false,
            state: 'replicate',
            inflightMessages: 0,
            active: true,
          },
        ],
        ...this.raftFields,
      },
      appliedIndex: index(41),
      stateHash: '0'.repeat(32),
      sessions: 1,
      waitingProposals: 2,
      watches: 3,
      alarms: [],
      partitionMs: 0,
      transfers: [],
      storedIndex: index(39),
      featureLevel: this.view.feature.level,
      featureLevels: new Map(['a', 'b', 'c'].map((id) => [memberId(id), 2])),
      removed: false,
      fault: null,
      ...this.statusFields,
    };
  }
  async transferLeadership(_stream: StreamId, to: MemberId | null): Promise<TransferOutcome> {
    this.transfers.push(to);
    return this.transferOutcome;
  }
  async openImage(): Promise<StoreImage | null> {
    if (this.image instanceof Error) throw this.image;
    return this.image;
  }

  /** Every mutation from now on is carried out with this answer. */
  applies(value: CommandValue, replayed = false): void {
    const result = { ok: true, revision: revision(30), value } as const;
    this.outcome = { kind: 'applied', index: logIndex(31), term: term(5), replayed, result };
  }
}

export const MEMBERS = ['c', 'a', 'b'].map((id) => ({
  id: memberId(id),
  clientAddress: `${id}.test:7100`,
  peerAddress: `${id}.test:7200`,
}));

export class TestApi {
  readonly member = new FakeMember();
  readonly log: LogLine[] = [];
  /** Who answers at which peer address; nobody at any other. */
  readonly identities = new Map<string, IdentifiedMember>();
  /** Agents whose heartbeats arrived. */
  readonly beats: string[] = [];
  beatAnswer: 'ok' | 'not-leader' = 'ok';
  readonly #server = new Server(serverOptions('client'));
  readonly api: Api;
  #client: Client | null = null;
  port = 0;

  constructor(watchProgressMs = 60_000) {
    this.api = createApi({
      member: this.member,
      clusterId: clusterId('test'),
      memberId: memberId('a'),
      members: MEMBERS,
      identify: async (address) => {
        const found = this.identities.get(address);
        return found === undefined ? err(`no member answers at ${address} within 3000 ms: refused`) : ok(found);
      },
      version: '1.2.3',
      agents: {
        heartbeat: (agent) => {
          if (this.beatAnswer === 'ok') this.beats.push(agent);
          return this.beatAnswer;
        },
      },
      logger: captureLogger(this.log),
      watchProgressMs,
    });
    this.api.addTo(this.#server);
  }

  async start(): Promise<this> {
    this.port = await bind(this.#server, 0);
    this.#client = new Client(this.address, credentials.createInsecure());
    return this;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get client(): Client {
    if (this.#client === null) throw new Error('not started');
    return this.#client;
  }

  stop(): void {
    this.#client?.close();
    this.#server.forceShutdown();
  }

  call<Method extends DescMethodUnary>(
    method: Method,
    init: MessageInitShape<Method['input']>,
    options: CallOptions = {},
    metadata = new Metadata(),
  ): Promise<Result<ResponseOf<Method>, ParsedStatus>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const request = create(method.input, init) as Parameters<typeof requestSerialize>[0];
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
        (error, response) => resolve(error === null ? ok(response as ResponseOf<Method>) : err(parseStatus(error))),
      );
    });
  }

  /** Bytes as they are, whether or not they are a message. */
  raw(path: string, bytes: Buffer): Promise<ParsedStatus | null> {
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        path,
        (buffer: Buffer) => buffer,
        (buffer: Buffer) => buffer,
        bytes,
        (error) => resolve(error === null ? null : parseStatus(error)),
      );
    });
  }
}

export function event(at: number, ordinal: number, fields: Partial<MachineEvent> = {}): MachineEvent {
  return {
    revision: revision(at),
    ordinal,
    timeMs: time,
    kind: 'phase_transition.started',
    loop: 'l',
    g: 1,
    phase: 'p',
    attempt: 1,
    token: 5 as FencingToken,
    caller: 'agent',
    traceId: 'trace',
    outcome: '',
    vectorClock: [['agent', 1]],
    ...fields,
  };
}

export const STREAM = DATA_STREAM;
