/** What is explored: each scope bounds some things so that others can go deep. All of them are safe cuts: fewer runs, never false ones. */

export interface Scope {
  readonly name: string;
  readonly what: string;
  readonly members: number;
  /** Of the members, the first so many found the cluster; the others wait to be added. */
  readonly founders: number;
  readonly terms: number;
  readonly proposals: number;
  /** Changes of the configuration: one voter more or less. */
  readonly changes: number;
  readonly transfers: boolean;
  /** Crash and restart, at any time, as often as one likes. */
  readonly crashes: boolean;
  /** Writes become durable some time later; else at once. */
  readonly slowDisks: boolean;
  /** Pre-votes are asked for; else a campaign begins when somebody feels like it. */
  readonly preVotes: boolean;
  readonly appendEntriesMax: number;
  readonly inflightMessagesMax: number;
  /** Disks to begin with, all members just restarted; null: empty ones. Of the entries, which are no-ops, the terms. */
  readonly start: readonly StartingDisk[] | null;
}

export interface StartingDisk {
  readonly term: number;
  /** Position of the member that got the vote of `term`. */
  readonly votedFor: number | null;
  readonly log: readonly number[];
}

const BASE: Scope = {
  name: '',
  what: '',
  members: 3,
  founders: 3,
  terms: 2,
  proposals: 0,
  changes: 0,
  transfers: false,
  crashes: false,
  slowDisks: false,
  preVotes: false,
  appendEntriesMax: 1,
  inflightMessagesMax: 2,
  start: null,
};

export const SCOPES: readonly Scope[] = [
  {
    ...BASE,
    name: 'disks',
    what: 'writes that are late or lost: votes and acknowledgements over crashes',
    terms: 3,
    proposals: 1,
    crashes: true,
    slowDisks: true,
  },
  {
    ...BASE,
    name: 'pre-votes',
    what: 'elections with pre-votes, and crashes',
    terms: 3,
    crashes: true,
    preVotes: true,
  },
  { ...BASE, name: 'elections', what: 'leaders that follow on each other, and their logs', terms: 4 },
  { ...BASE, name: 'replication', what: 'entries of clients, under two or three leaders', terms: 3, proposals: 2 },
  {
    ...BASE,
    name: 'removal',
    what: 'one of three voters is removed, the leader maybe',
    terms: 3,
    changes: 1,
  },
  {
    ...BASE,
    name: 'addition',
    what: 'two voters become three',
    founders: 2,
    terms: 2,
    changes: 1,
  },
  { ...BASE, name: 'transfers', what: 'leadership is handed over', terms: 3, proposals: 1, transfers: true },
  {
    ...BASE,
    name: 'figure-8',
    what: 'the Raft paper, figure 8 (c): a and b led terms 1 and 2 and appended; nothing is committed',
    terms: 4,
    start: [
      { term: 2, votedFor: null, log: [1] },
      { term: 2, votedFor: 1, log: [2] },
      { term: 2, votedFor: 1, log: [] },
    ],
  },
];
