/** What the records of overrides and of roster changes prove by themselves: who signed, and whether that was enough. */
import { threshold } from '../machine/override/roster.ts';
import { isSignedBy } from '../signing/ed25519.ts';
import { overrideMessage, rosterMessage } from '../signing/messages.ts';
import type { ExportRecord } from './export-file.ts';

type Signed = readonly [supervisor: string, publicKey: string, signature: string];
type Change = readonly [name: string, publicKey: string];

interface Detail {
  readonly expiresAtMs: number;
  readonly nonce: string;
  readonly signatures: readonly Signed[];
  /** Of an override. */
  readonly action?: 'resume' | 'abort' | 'force-rollback';
  readonly target?: string;
  /** Of a change of the roster. */
  readonly changes?: readonly Change[];
  readonly signaturesNeeded?: number | null;
}

/** Who may sign, and how many it takes. */
export interface RosterState {
  readonly supervisors: readonly (readonly [name: string, publicKey: string])[];
  /** As it was set; 0: the rule counts. */
  readonly signaturesNeeded: number;
}

/** Before the first record of all. */
export const ROSTER_START: RosterState = { supervisors: [], signaturesNeeded: 0 };

/** Follows the records in order. */
export class SignatureChecks {
  readonly #clusterIds: readonly string[];
  /** null: what came before the export is not known. */
  #roster: Map<string, string> | null;
  #signaturesNeeded: number;
  /** Signatures that verified. */
  verified = 0;

  /** `clusterIds`: of the export, and of clusters that this one was restored from. `start`: null where it is not known. */
  constructor(clusterIds: readonly string[], start: RosterState | null) {
    this.#clusterIds = clusterIds;
    this.#roster = start === null ? null : new Map(start.supervisors);
    this.#signaturesNeeded = start?.signaturesNeeded ?? 0;
  }

  /** After the last record; null: it is not known. */
  get roster(): RosterState | null {
    if (this.#roster === null) return null;
    return { supervisors: [...this.#roster], signaturesNeeded: this.#signaturesNeeded };
  }

  /** A record is missing or cannot be read: who is on the roster is not known from here on. */
  forgetRoster(): void {
    this.#roster = null;
  }

  /** What is wrong with the signatures of a record, in sentences. */
  check(record: ExportRecord): readonly string[] {
    const { command, outcome } = record;
    if (outcome !== 'OK' || (command !== 'override' && command !== 'changeSupervisors')) return [];
    const detail = parseDetail(record.detail);
    if (detail === null) return [`the detail of this ${command} is not what Quorate writes`];
    const problems = this.#checkSignatures(command, detail);
    if (this.#roster !== null) problems.push(...checkRoster(this.#roster, this.#signaturesNeeded, detail));
    if (this.#roster !== null) applyChanges(this.#roster, detail.changes ?? []);
    this.#signaturesNeeded = detail.signaturesNeeded ?? this.#signaturesNeeded;
    return problems;
  }

  #checkSignatures(command: 'override' | 'changeSupervisors', detail: Detail): string[] {
    const messages = this.#clusterIds.map((clusterId) => messageOf(clusterId, command, detail));
    const problems: string[] = [];
    for (const [supervisor, publicKey, signature] of detail.signatures) {
      if (messages.some((message) => isSignedBy(publicKey, message, signature))) this.verified += 1;
      else problems.push(`the signature of ${supervisor} is not of what the record says`);
    }
    return problems;
  }
}

function messageOf(clusterId: string, command: 'override' | 'changeSupervisors', detail: Detail): Uint8Array {
  const { expiresAtMs, nonce, action = 'resume', target = '', changes = [], signaturesNeeded = null } = detail;
  const once = { clusterId, expiresAtMs, nonce };
  if (command === 'override') return overrideMessage({ ...once, action, target });
  const named = changes.map(([name, publicKey]) => ({ name, publicKey }));
  return rosterMessage({ ...once, changes: named, signaturesNeeded });
}

/** The signers were on the roster of that moment, and enough of them. The first ones need none. */
function checkRoster(
  roster: ReadonlyMap<string, string>,
  signaturesNeeded: number,
  { signatures }: Detail,
): readonly string[] {
  if (roster.size === 0 && signatures.length === 0) return [];
  const strangers = signatures.filter(([name, publicKey]) => roster.get(name) !== publicKey).map(([name]) => name);
  if (strangers.length > 0) return [`${strangers.join(', ')} signed, but was not on the roster with that key`];
  const distinct = new Set(signatures.map(([name]) => name)).size;
  const needed = threshold(roster.size, signaturesNeeded);
  return distinct >= needed ? [] : [`${distinct} supervisors signed, ${needed} were needed`];
}

function applyChanges(roster: Map<string, string>, changes: readonly Change[]): void {
  for (const [name, publicKey] of changes) {
    if (publicKey === '') roster.delete(name);
    else roster.set(name, publicKey);
  }
}

function parseDetail(text: string): Detail | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  const detail = json as Partial<Detail> | null;
  if (typeof detail !== 'object' || detail === null || !isTextLists(detail.signatures, 3)) return null;
  if (detail.signaturesNeeded != null && !Number.isSafeInteger(detail.signaturesNeeded)) return null;
  if (detail.changes !== undefined && !isTextLists(detail.changes, 2)) return null;
  if (typeof detail.nonce !== 'string' || !Number.isSafeInteger(detail.expiresAtMs)) return null;
  return detail as Detail;
}

function isTextLists(value: unknown, length: number): boolean {
  const isList = (item: unknown): boolean =>
    Array.isArray(item) && item.length === length && item.every((part) => typeof part === 'string');
  return Array.isArray(value) && value.every(isList);
}
