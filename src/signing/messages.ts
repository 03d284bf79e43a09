/**
 * The texts that supervisors sign (O2). Lines joined by a line feed, UTF-8; no line holds one. The first names what it is and its
 * version, the second the cluster, so that a signature is good for one thing in one place, until it expires, once.
 */
import { createHash } from 'node:crypto';
import type { OverrideAction, SupervisorChange } from '../machine/override/types.ts';

interface Once {
  readonly clusterId: string;
  /** Cluster time, milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
  /** 32 lower-case hexadecimal digits. */
  readonly nonce: string;
}

export interface OverrideText extends Once {
  /** Trace id of the work whose recoveries it moves. */
  readonly target: string;
  readonly action: OverrideAction;
}

export interface RosterText extends Once {
  readonly changes: readonly SupervisorChange[];
  /** null: as many as before, 0: as the rule says. */
  readonly signaturesNeeded: number | null;
}

export function overrideMessage({ clusterId, target, action, expiresAtMs, nonce }: OverrideText): Uint8Array {
  return lines('quorate-override-v1', clusterId, target, action, String(expiresAtMs), nonce);
}

/** The changes go in as the SHA-256 over the JSON array of [name, public key], in the order in which they are sent. */
export function rosterMessage({ clusterId, changes, signaturesNeeded, expiresAtMs, nonce }: RosterText): Uint8Array {
  const canonical = JSON.stringify(changes.map(({ name, publicKey }) => [name, publicKey]));
  const digest = createHash('sha256').update(canonical, 'utf8').digest('hex');
  return lines('quorate-roster-v1', clusterId, digest, neededText(signaturesNeeded), String(expiresAtMs), nonce);
}

function neededText(signaturesNeeded: number | null): string {
  if (signaturesNeeded === null) return 'as before';
  return signaturesNeeded === 0 ? 'rule' : String(signaturesNeeded);
}

function lines(...parts: readonly string[]): Uint8Array {
  return Buffer.from(parts.join('\n'), 'utf8');
}
