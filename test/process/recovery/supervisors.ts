/** Supervisors of a test: their keys, what they sign, and the overrides that come of it. */
import type { PhaseRef, SignedOverride } from '../../../src/client/client.ts';
import { generateKey, readKey, type SigningKey } from '../../../src/signing/ed25519.ts';
import { makeSignature } from '../../../src/signing/file.ts';
import { must } from '../../../src/types/assert.ts';
import type { RecoveryKit } from './kit.ts';

type Text = Omit<SignedOverride, 'signatures'>;

export class Supervisors {
  readonly #kit: RecoveryKit;
  readonly #clusterId: string;
  readonly #keys = new Map<string, { readonly pem: string; readonly key: SigningKey }>();

  private constructor(kit: RecoveryKit, clusterId: string) {
    this.#kit = kit;
    this.#clusterId = clusterId;
  }

  /** Puts them on the empty roster, all at once. */
  static async appoint(kit: RecoveryKit, names: readonly string[]): Promise<Supervisors> {
    const { clusterId } = await kit.client.overrides.roster();
    const made = new Supervisors(kit, clusterId);
    const changes = names.map((name) => {
      const { pem, publicKey } = generateKey();
      made.#keys.set(name, { pem, key: readKey(pem) });
      return { name, publicKey };
    });
    const once = { expiresAtMs: await kit.soonMs(), nonce: kit.nonce() };
    await kit.session.changeSupervisors({ changes, ...once, signatures: [] });
    return made;
  }

  /** PEM */
  pem(name: string): string {
    return this.#of(name).pem;
  }

  async remove(name: string, by: readonly string[]): Promise<void> {
    const text = {
      changes: [{ name, publicKey: '' }],
      signaturesNeeded: null,
      expiresAtMs: await this.#kit.soonMs(),
      nonce: this.#kit.nonce(),
    };
    const signable = { kind: 'roster', clusterId: this.#clusterId, ...text } as const;
    const signatures = by.map((one) => makeSignature(signable, one, this.#of(one).key));
    await this.#kit.session.changeSupervisors({ ...text, signatures });
  }

  /** A text that nobody has used yet. */
  async text(target: string, action: SignedOverride['action'] = 'resume'): Promise<Text> {
    return { target, action, expiresAtMs: await this.#kit.soonMs(), nonce: this.#kit.nonce() };
  }

  signed(text: Text, by: readonly string[]): SignedOverride {
    const signable = { kind: 'override', clusterId: this.#clusterId, ...text } as const;
    const signatures = by.map((name) => {
      const { supervisor, publicKey, signature } = makeSignature(signable, name, this.#of(name).key);
      return { supervisor, publicKey, signature };
    });
    return { ...text, signatures };
  }

  #of(name: string): { readonly pem: string; readonly key: SigningKey } {
    return must(this.#keys.get(name), `${name} has a key`);
  }
}

/** A run of the trace `trace-<loop>` that is blocked: its one effect cannot be undone, because the provider is down. */
export async function blocked(kit: RecoveryKit, loop: string): Promise<PhaseRef> {
  const ref = await kit.loop(loop);
  kit.provider.down = false;
  const { token, attempt } = await kit.session.beginPhase(ref, { traceId: `trace-${loop}` });
  await kit.make(ref, token, 1);
  kit.provider.down = true;
  await kit.session.interruptPhase(ref, attempt);
  await kit.recovery(ref, 'is blocked', ({ recovery: { state } }) => state === 'BLOCKED_COMPENSATOR');
  return ref;
}
