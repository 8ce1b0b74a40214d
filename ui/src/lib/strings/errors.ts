export const en = {
  network: "The server does not answer.",
  status: (status: number) => `The server answered ${status}.`,
};

export const zh: typeof en = {
  network: "服务器没有响应。",
  status: (status) => `服务器返回了 ${status}。`,
};
