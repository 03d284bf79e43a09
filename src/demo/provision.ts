/** What the recovery demo works on: the things that are provisioned, and the documents that tell of them. */
import { type Document, type PhaseRef, type QuorateClient, QuorateError } from '../client/client.ts';

/** Made in this order, and unmade in the opposite one. */
export const THINGS = ['network', 'subnet', 'disk', 'database', 'queue', 'server', 'balancer', 'address'] as const;

/** The first agent dies when so many are made and confirmed, and one more is made and not confirmed. */
export const CONFIRMED_AT_KILL = 5;

/** Documents of the loop before the phase begins. */
export const DOCUMENTS_BEFORE: Readonly<Record<string, string>> = {
  /** Rewritten by the phase after each thing. */
  inventory: 'nothing yet',
  /** Deleted by the phase. */
  draft: 'eight things, one server',
  /** Rewritten by the phase, and then by somebody else. */
  contacts: 'Ada',
};

/** Created by the phase. */
export const CREATED = 'addresses';

/** Written by somebody else while the phase runs: nobody may take that back but they themselves. */
export const DOCUMENTS_OUTSIDE: Readonly<Record<string, string>> = { contacts: 'Grace', notes: 'seen by Grace' };

/** Idempotency key of an effect. Another attempt makes other things, so it has other keys. */
export function effectKey({ loop, g }: PhaseRef, attempt: number, thing: string): string {
  return `${loop}-${g}-${attempt}-${thing}`;
}

export function inventoryOf(things: readonly string[]): string {
  return things.join(', ');
}

/** null: there is none. */
export async function documentOf(client: QuorateClient, loop: string, name: string): Promise<Document | null> {
  try {
    return await client.documents.get(loop, name);
  } catch (error) {
    if (error instanceof QuorateError && error.reason === 'DOCUMENT_NOT_FOUND') return null;
    throw error;
  }
}
