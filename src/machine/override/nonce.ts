/**
 * An override is usable once (O2): its nonce is remembered for as long as it could be carried out again, that is until the state's
 * time has passed its expiry. Only what was accepted uses a nonce up: a refused override may be completed and sent again.
 */
import { assert } from '../../types/assert.ts';
import { type ClusterTimeMs, clusterTimeMs } from '../../types/ids.ts';
import { CLUSTER_TIME_MAX_MS, NONCE_MARGIN_MS, NONCES_MAX, OVERRIDE_EXPIRY_MAX_MS } from '../../types/limits.ts';
import { type ApplyContext, rejection } from '../context.ts';
import { padded } from '../keys.ts';
import type { MachineState } from '../state.ts';
import type { Rejection } from '../types.ts';
import { checkInteger, firstOf, invalid } from '../validate.ts';

const NONCE = /^[0-9a-f]{32}$/;

/** What an override and a change of the roster have in common. */
interface Once {
  readonly expiresAtMs: ClusterTimeMs;
  readonly nonce: string;
}

export function checkOnceForm({ expiresAtMs, nonce }: Once): Rejection | null {
  return firstOf(
    checkInteger('expiresAtMs', expiresAtMs, 1, CLUSTER_TIME_MAX_MS),
    NONCE.test(nonce) ? null : invalid('nonce', 'Give nonce as 32 lower-case hexadecimal digits, drawn at random.'),
  );
}

/** Its form is good. Both times are of the cluster's clock. */
export function checkOnce({ state, timeMs }: ApplyContext, { expiresAtMs, nonce }: Once): Rejection | null {
  if (expiresAtMs <= timeMs) {
    return rejection('OVERRIDE_EXPIRED', 'Sign it again: it has expired by the clock of the cluster.', {
      expiresAtMs,
      timeMs,
    });
  }
  if (expiresAtMs > timeMs + OVERRIDE_EXPIRY_MAX_MS) {
    const hours = OVERRIDE_EXPIRY_MAX_MS / 3_600_000;
    return invalid(
      'expiresAtMs',
      `Let it expire within ${hours} hours by the clock of the cluster, and sign it again.`,
    );
  }
  const { nonce: used } = state.tables.domain;
  if (used.has(nonce)) {
    return rejection('OVERRIDE_REPLAYED', 'Sign it again with a new nonce: this one was carried out already.', {
      nonce,
    });
  }
  if (used.size < NONCES_MAX) return null;
  return rejection('LIMIT_EXCEEDED', 'Wait until earlier overrides have expired: too many were carried out.', {
    limit: NONCES_MAX,
  });
}

/** `checkOnce` has said yes. */
export function useNonce(state: MachineState, { expiresAtMs, nonce }: Once): void {
  const { nonce: used } = state.tables.domain;
  assert(!used.has(nonce), 'a nonce is used once');
  used.put(nonce, { nonce, expiresAtMs });
  const dueMs = clusterTimeMs(expiresAtMs + NONCE_MARGIN_MS);
  state.tables.timer.put(`${padded(dueMs)} nonce ${nonce}`, { kind: 'nonce', dueMs, nonce });
}
