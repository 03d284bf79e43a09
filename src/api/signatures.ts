/** The Ed25519 signatures of a request are checked here, before anything is proposed (O2); the state checks all else about them. */
import type { OverrideCommand, Signature } from '../machine/override/types.ts';
import type { StatusError } from '../rpc/status.ts';
import { isSignedBy } from '../signing/ed25519.ts';
import { overrideMessage, rosterMessage } from '../signing/messages.ts';
import { SUPERVISORS_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { failure } from './errors.ts';

const NONCE = /^[0-9a-f]{32}$/;

/** Every signature is of this command, in this cluster, by the key that it names. */
export function checkSigned<Body extends OverrideCommand>(
  { clusterId }: Pick<ApiContext, 'clusterId'>,
  body: Body,
): Result<Body, StatusError> {
  const message =
    body.kind === 'override' ? overrideMessage({ ...body, clusterId }) : rosterMessage({ ...body, clusterId });
  for (const { supervisor, publicKey, signature } of body.signatures) {
    if (isSignedBy(publicKey, message, signature)) continue;
    const what =
      body.kind === 'override'
        ? `${body.action} of trace ${body.target} in cluster ${clusterId} with this expiry and nonce`
        : `these changes in cluster ${clusterId} with this expiry and nonce`;
    const text = `the signature of ${supervisor} is not of ${what}, or not by the key it names; sign exactly what is sent`;
    return err(failure('SIGNATURE_INVALID', text, { metadata: { supervisor } }));
  }
  return ok(body);
}

export function signaturesOf(
  signatures: readonly Signature[],
  min: number,
  check: Check,
): { readonly supervisor: string; readonly publicKey: string; readonly signature: string }[] {
  check.count('signatures', signatures.length, min, SUPERVISORS_MAX);
  return signatures.slice(0, SUPERVISORS_MAX).map(({ supervisor, publicKey, signature }, i) => ({
    supervisor: check.name(`signatures[${i}].supervisor`, supervisor),
    publicKey: hex(`signatures[${i}].public_key`, publicKey, 64, check),
    signature: hex(`signatures[${i}].signature`, signature, 128, check),
  }));
}

export function nonceOf(nonce: string, check: Check): string {
  if (!NONCE.test(nonce)) check.report('nonce', 'is no nonce; send 32 lower-case hexadecimal digits, drawn at random');
  return nonce;
}

export function hex(field: string, value: string, digits: number, check: Check): string {
  if (value.length !== digits || !/^[0-9a-f]*$/.test(value)) {
    check.report(field, `is not ${digits} lower-case hexadecimal digits`);
  }
  return value;
}
