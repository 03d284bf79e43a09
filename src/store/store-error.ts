/** What LevelDB and the file system say, as something to act on. */

export type StoreErrorCode = 'locked' | 'permission' | 'corrupt' | 'format' | 'foreign' | 'no_space' | 'io';

/** The store cannot be used; the message says where and what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly path: string;
  constructor(code: StoreErrorCode, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.path = path;
  }
}

export function corrupt(path: string, what: string, cause?: unknown): StoreError {
  return new StoreError(
    'corrupt',
    path,
    `The store in ${path} is damaged: ${what}. Move the folder away and start again; the member rebuilds it from its log or from its peers.`,
    { cause },
  );
}

export function otherFormat(path: string, format: string, known: string): StoreError {
  return new StoreError(
    'format',
    path,
    `The store in ${path} has format ${JSON.stringify(format.slice(0, 40))}, this version reads up to ${known}. Start the version that wrote it, or name another folder.`,
  );
}

export function foreign(path: string, found: string, own: string): StoreError {
  return new StoreError(
    'foreign',
    path,
    `The store in ${path} belongs to ${JSON.stringify(found.slice(0, 160))}, but this is ${own}. Put the store back that belongs to this member, or move this one away: it is rebuilt from the log or from the peers.`,
  );
}

/** LevelDB's reasons are codes and, for the operating system's errors, only text. */
export function describe(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const chain: Error[] = [];
  for (let at: unknown = error; at instanceof Error && chain.length < 8; at = at.cause) chain.push(at);
  const codes = chain.map((at) => String((at as { code?: unknown }).code ?? ''));
  const text = chain.map(({ message }) => message).join(': ');
  if (codes.includes('LEVEL_LOCKED')) {
    return new StoreError(
      'locked',
      path,
      `The store in ${path} is in use by another process. Stop that process, or give this member a data folder of its own.`,
      { cause: error },
    );
  }
  if (codes.some((code) => code === 'EACCES' || code === 'EPERM') || /permission denied|EACCES|EPERM/i.test(text)) {
    return new StoreError(
      'permission',
      path,
      `No permission to use the store in ${path}. Let this process's user read and write the folder.`,
      { cause: error },
    );
  }
  if (
    codes.some((code) => code === 'ENOSPC' || code === 'EDQUOT') ||
    /No space left|quota exceeded|ENOSPC|EDQUOT/i.test(text)
  ) {
    return new StoreError(
      'no_space',
      path,
      `There is no room for the store in ${path}. Free space on its disk; what could not be written is tried again.`,
      { cause: error },
    );
  }
  // LevelDB makes what is missing of a new store; of one that exists, a file that is not there was lost.
  if (codes.includes('LEVEL_CORRUPTION') || /corruption|No such file/i.test(text)) return corrupt(path, text, error);
  return new StoreError(
    'io',
    path,
    `The store in ${path} cannot be read or written (${text}). Check the disk, then start again.`,
    { cause: error },
  );
}
