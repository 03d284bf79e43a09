/** Signature files that are sent together: all of the same thing, for this cluster, by people of the roster. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Roster, SupervisorSignature } from '../client/client.ts';
import type { SignatureFile } from '../signing/file.ts';
import { UsageError } from './exit-codes.ts';
import { fileProblem } from './file-problem.ts';

/** What only these commands need is loaded when they run. */
const loadSigning = () => import('../signing/file.ts');

export interface GivenSignature {
  /** As it was given on the command line. */
  readonly path: string;
  readonly file: SignatureFile;
}

/** Throws {@link UsageError} for files that cannot be read, were altered, or are not of one and the same thing. */
export async function readSignatures(cwd: string, paths: readonly string[]): Promise<readonly GivenSignature[]> {
  const { parseSignature, SignatureFileError, signedMessage } = await loadSigning();
  const given: GivenSignature[] = [];
  for (const path of paths) {
    try {
      given.push({ path, file: parseSignature(await readFile(resolve(cwd, path), 'utf8')) });
    } catch (error) {
      if (error instanceof SignatureFileError) throw new UsageError(`${path}: ${error.message}`, { cause: error });
      throw fileProblem(path, error);
    }
  }
  const [first, ...others] = given;
  for (const other of others) {
    if (first === undefined || Buffer.compare(signedMessage(first.file), signedMessage(other.file)) === 0) continue;
    throw new UsageError(
      `${other.path} signs something else than ${first.path}; have it signed again with: quorate sign --key FILE --with ${first.path}`,
    );
  }
  return given;
}

/** Names come from the roster where the signer gave none. */
export function signaturesFor(roster: Roster, given: readonly GivenSignature[]): readonly SupervisorSignature[] {
  return given.map(({ path, file }) => {
    const { clusterId, publicKey, signature } = file;
    if (clusterId !== roster.clusterId) {
      throw new UsageError(
        `${path}: it was signed for cluster ${clusterId}, this is ${roster.clusterId}; ask the right cluster, or sign again`,
      );
    }
    const named = roster.supervisors.find((one) => one.publicKey === publicKey)?.name;
    // The cluster refuses a stranger, and says so with its reason.
    const supervisor = file.supervisor === '' ? (named ?? `key-${publicKey.slice(0, 16)}`) : file.supervisor;
    return { supervisor, publicKey, signature };
  });
}
