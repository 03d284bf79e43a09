/** Supervisors, and the audit log. What changes something is among the mutations of a session. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  OverrideAction as ActionMessage,
  type AuditInfo as InfoMessage,
  OverrideService,
  type AuditRecord as RecordMessage,
  type SignatureSchema,
} from '../gen/quorate/v1/override_pb.ts';
import { must } from '../types/assert.ts';
import { fromConsistency, toNumber } from './convert.ts';
import { messagesOfOne, type OneStreamDeps } from './one-stream.ts';
import type { Reader } from './reader.ts';
import type { CallOptions, MutationAnswer, ReadOptions } from './types.ts';

export type OverrideAction = 'resume' | 'abort' | 'force-rollback';

/** Ed25519; `quorate sign` makes them. */
export interface SupervisorSignature {
  /** Name on the roster. */
  readonly supervisor: string;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** 128 hexadecimal digits. */
  readonly signature: string;
}

/** What was signed, and by whom. It is carried out once, so that sending it twice does no harm. */
export interface SignedOverride {
  readonly target: string;
  readonly action: OverrideAction;
  /** By the clock of the cluster; at most 24 hours ahead. */
  readonly expiresAtMs: number;
  /** 32 hexadecimal digits drawn at random. */
  readonly nonce: string;
  readonly signatures: readonly SupervisorSignature[];
}

export interface SignedRosterChange {
  /** `publicKey` '': removes the supervisor. */
  readonly changes: readonly { readonly name: string; readonly publicKey: string }[];
  /** How many signatures it takes from now on; 0: as the rule says. Default: as before. */
  readonly signaturesNeeded?: number | null;
  readonly expiresAtMs: number;
  readonly nonce: string;
  /** None while nobody is on the roster. */
  readonly signatures: readonly SupervisorSignature[];
}

export interface Overridden extends MutationAnswer {
  /** How many recoveries were moved. */
  readonly recoveries: number;
}

export interface SupervisorsChanged extends MutationAnswer {
  readonly supervisors: number;
  /** Signatures that it takes from now on. */
  readonly threshold: number;
}

export interface Roster {
  readonly supervisors: readonly {
    readonly name: string;
    readonly publicKey: string;
    readonly addedRevision: number;
  }[];
  readonly threshold: number;
  /** As it was set; 0: min(ceil(N / 2), 3). */
  readonly signaturesNeeded: number;
  readonly clusterId: string;
  /** The clock that expiry is measured by. */
  readonly clusterTimeMs: number;
}

export interface AuditInfo {
  readonly clusterId: string;
  readonly memberId: string;
  readonly firstPosition: number;
  /** Hash of the record before the first one. */
  readonly previousHash: string;
  readonly records: number;
}

export interface AuditEntry {
  readonly position: number;
  readonly index: number;
  readonly timeMs: number;
  readonly caller: string;
  readonly traceId: string;
  readonly command: string;
  readonly subject: string;
  /** OK, or the reason of the rejection. */
  readonly outcome: string;
  readonly detail: string;
  readonly hash: string;
}

export interface ExportAuditOptions extends CallOptions {
  /** First position that is wanted; default: the oldest record that is kept. */
  readonly from?: number;
}

export class Overrides {
  readonly #reader: Reader;
  readonly #stream: OneStreamDeps;

  constructor(reader: Reader, stream: OneStreamDeps) {
    this.#reader = reader;
    this.#stream = stream;
  }

  async roster(options?: ReadOptions): Promise<Roster> {
    const method = OverrideService.method.listSupervisors;
    const response = await this.#reader.read(method, fromConsistency(options), options);
    return {
      supervisors: response.supervisors.map(({ name, publicKey, addedRevision }) => ({
        name,
        publicKey,
        addedRevision: toNumber(addedRevision),
      })),
      threshold: response.threshold,
      signaturesNeeded: response.signaturesNeeded,
      clusterId: response.clusterId,
      clusterTimeMs: toNumber(response.clusterTimeMs),
    };
  }

  /**
   * The audit log in order, as it stands now, a block at a time; the first piece has no records. It is complete only when the
   * iteration ends without an error.
   */
  async *exportAudit(
    options: ExportAuditOptions = {},
  ): AsyncGenerator<{ readonly info: AuditInfo; readonly records: readonly AuditEntry[] }, void, undefined> {
    const deps = { ...this.#stream, deadlineMs: options.deadlineMs ?? this.#stream.deadlineMs };
    const signal = options.signal ?? new AbortController().signal;
    const request = { fromPosition: BigInt(options.from ?? 0) };
    let info: AuditInfo | null = null;
    for await (const message of messagesOfOne(deps, OverrideService.method.exportAudit, request, signal)) {
      info ??= toInfo(must(message.info, 'an export begins with its facts'));
      yield { info, records: message.records.map(toEntry) };
    }
  }
}

export function fromAction(action: OverrideAction): ActionMessage {
  const actions: Readonly<Record<OverrideAction, ActionMessage>> = {
    resume: ActionMessage.RESUME,
    abort: ActionMessage.ABORT,
    'force-rollback': ActionMessage.FORCE_ROLLBACK,
  };
  return actions[action];
}

export function fromSignature(one: SupervisorSignature): MessageInitShape<typeof SignatureSchema> {
  const { supervisor, publicKey, signature } = one;
  return { supervisor, publicKey, signature };
}

function toInfo({ clusterId, memberId, firstPosition, previousHash, records }: InfoMessage): AuditInfo {
  return {
    clusterId,
    memberId,
    firstPosition: toNumber(firstPosition),
    previousHash,
    records: toNumber(records),
  };
}

function toEntry(record: RecordMessage): AuditEntry {
  const { caller, traceId, command, subject, outcome, detail, hash } = record;
  return {
    position: toNumber(record.position),
    index: toNumber(record.index),
    timeMs: toNumber(record.timeMs),
    caller,
    traceId,
    command,
    subject,
    outcome,
    detail,
    hash,
  };
}
