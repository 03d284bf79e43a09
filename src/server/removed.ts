/** How a member that was removed from its cluster ends. Apart from the rest: the command line asks for it early. */
import type { ClusterId, MemberId } from '../types/ids.ts';

export interface IdentityNames {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

/** The folder belongs to a member that was removed from its cluster. The message says how to come back. */
export class MemberRemovedError extends Error {
  override readonly name = 'MemberRemovedError';

  constructor({ clusterId, memberId }: IdentityNames, folder: string) {
    super(
      `member ${memberId} was removed from cluster ${clusterId}: its data folder ${folder} must not come back. To use this ` +
        'machine again, set a new member id and an empty data folder, start it with --join, and add it with ' +
        '`quorate member add`; the old folder is kept as it is',
    );
  }
}
