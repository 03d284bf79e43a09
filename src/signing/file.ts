/** A signature as a file that travels from its supervisor to whoever sends the override: JSON, one object. */
import type { OverrideAction, SupervisorChange } from '../machine/override/types.ts';
import { isSignedBy, type SigningKey } from './ed25519.ts';
import { type OverrideText, overrideMessage, type RosterText, rosterMessage } from './messages.ts';

const FORMAT = 'quorate-signature-v1';
const ACTIONS: readonly string[] = ['resume', 'abort', 'force-rollback'] satisfies readonly OverrideAction[];

export type Signable = ({ readonly kind: 'override' } & OverrideText) | ({ readonly kind: 'roster' } & RosterText);

export type SignatureFile = Signable & {
  /** '' when the signer did not say: the roster knows by the key. */
  readonly supervisor: string;
  readonly publicKey: string;
  readonly signature: string;
};

/** What is wrong with a signature file, in a sentence without its name. */
export class SignatureFileError extends Error {
  override readonly name = 'SignatureFileError';
}

export function signedMessage(signable: Signable): Uint8Array {
  return signable.kind === 'override' ? overrideMessage(signable) : rosterMessage(signable);
}

export function makeSignature(signable: Signable, supervisor: string, key: SigningKey): SignatureFile {
  return { ...signable, supervisor, publicKey: key.publicKey, signature: key.sign(signedMessage(signable)) };
}

export function signatureText(file: SignatureFile): string {
  return `${JSON.stringify({ format: FORMAT, ...file }, null, 2)}\n`;
}

/** Reads what {@link signatureText} wrote, and checks that the signature is of what the file says. Throws {@link SignatureFileError}. */
export function parseSignature(text: string): SignatureFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new SignatureFileError('it is no JSON; give a file that quorate sign wrote', { cause });
  }
  const fields = (typeof json === 'object' && json !== null ? json : {}) as Readonly<Record<string, unknown>>;
  if (fields.format !== FORMAT) throw new SignatureFileError(`it is no ${FORMAT}; give a file that quorate sign wrote`);
  const signable = signableOf(fields);
  const { supervisor, publicKey, signature } = fields;
  if (typeof supervisor !== 'string' || typeof publicKey !== 'string' || typeof signature !== 'string') {
    throw new SignatureFileError('it lacks supervisor, publicKey or signature; sign again');
  }
  if (!isSignedBy(publicKey, signedMessage(signable), signature)) {
    throw new SignatureFileError('the signature is not of what the file says: it was altered; sign again');
  }
  return { ...signable, supervisor, publicKey, signature };
}

function signableOf(fields: Readonly<Record<string, unknown>>): Signable {
  const { kind, clusterId, expiresAtMs, nonce, target, action, changes, signaturesNeeded } = fields;
  if (typeof clusterId !== 'string' || typeof nonce !== 'string' || !Number.isSafeInteger(expiresAtMs)) {
    throw new SignatureFileError('it lacks clusterId, expiresAtMs or nonce; sign again');
  }
  const once = { clusterId, expiresAtMs: expiresAtMs as number, nonce };
  if (kind === 'roster' && Array.isArray(changes) && changes.every(isChange) && isNeeded(signaturesNeeded)) {
    return { kind, ...once, changes, signaturesNeeded };
  }
  if (kind === 'override' && typeof target === 'string' && typeof action === 'string' && ACTIONS.includes(action)) {
    return { kind, ...once, target, action: action as OverrideAction };
  }
  throw new SignatureFileError('it says neither which override nor which change of the roster was signed; sign again');
}

function isNeeded(value: unknown): value is number | null {
  return value === null || Number.isSafeInteger(value);
}

function isChange(value: unknown): value is SupervisorChange {
  const change = value as Partial<SupervisorChange> | null;
  return typeof change === 'object' && typeof change?.name === 'string' && typeof change.publicKey === 'string';
}
