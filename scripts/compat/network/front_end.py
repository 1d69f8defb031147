"""Open WebUI, asked as its page asks it: sign up, list the models, ask over HTTP, hear of the answer on its socket, and read it in the chat.

Runs in Open WebUI's own Python, which has the packages. Environment: OPEN_WEBUI (its address).
"""

import asyncio
import os
import time
import uuid

import aiohttp
import socketio

URL = os.environ["OPEN_WEBUI"]
MODEL, QUESTION, ANSWER = "poq-demo-strong", "What is the capital of Peru?", "Lima"
# Seconds for one answer of the network.
PATIENCE = 900


class Page:
    def __init__(self, http):
        self.http = http
        self.socket = socketio.AsyncClient()
        self.events = asyncio.Queue()
        self.socket.on("events", self.events.put)

    async def call(self, method, path, body=None):
        async with self.http.request(method, f"{URL}{path}", json=body) as answer:
            said = await answer.json()
            assert answer.status == 200, (method, path, answer.status, said)
            return said

    async def sign_up(self):
        person = {"name": "Ann", "email": "ann@example.com", "password": str(uuid.uuid4())}
        token = (await self.call("POST", "/api/v1/auths/signup", person))["token"]
        self.http.headers["Authorization"] = f"Bearer {token}"
        await self.socket.connect(URL, auth={"token": token}, socketio_path="/ws/socket.io", transports=["websocket"])

    async def ask(self, settings):
        """Asks in a new chat. Returns what the page shows then: a text and an error."""
        question, answer = str(uuid.uuid4()), str(uuid.uuid4())
        message = {
            "id": question,
            "parentId": None,
            "childrenIds": [answer],
            "role": "user",
            "content": QUESTION,
            "models": [MODEL],
            "timestamp": int(time.time()),
        }
        body = {
            "stream": True,
            "model": MODEL,
            "params": settings,
            "features": {},
            "variables": {},
            "session_id": self.socket.get_sid(),
            "id": answer,
            "parent_id": None,
            "user_message": message,
            "background_tasks": {"title_generation": True, "tags_generation": True, "follow_up_generation": True},
        }
        said = await self.call("POST", "/api/chat/completions", body)
        async with asyncio.timeout(PATIENCE):
            while not self.is_end(await self.events.get(), answer):
                pass
        # The end is told before it is stored.
        for _ in range(100):
            chat = await self.call("GET", f"/api/v1/chats/{said['chat_id']}")
            shown = chat["chat"]["history"]["messages"][answer]
            if shown.get("done") or shown.get("error"):
                return shown.get("content"), shown.get("error")
            await asyncio.sleep(0.2)
        raise AssertionError(f"the chat has no answer: {chat}")

    @staticmethod
    def is_end(event, answer):
        kind, data = event["data"]["type"], event["data"].get("data")
        ends = kind == "chat:message:error" or isinstance(data, dict) and data.get("done")
        return event.get("message_id") == answer and ends


async def main():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as http:
        page = Page(http)
        await page.sign_up()
        print("ok      signs up", flush=True)

        models = {model["id"] for model in (await page.call("GET", "/api/models"))["data"]}
        assert {MODEL, "poq-demo-weak", "auto"} <= models, models
        print(f"ok      lists the models: {', '.join(sorted(models))}", flush=True)

        # With the tools that it offers if nobody turns them off, its question is refused, and its page says why.
        text, error = await page.ask({"function_calling": "native"})
        assert not text and "'tools'" in str(error), (text, error)
        print(f"ok      shows a refusal: {error['content']}", flush=True)

        text, error = await page.ask({})
        assert error is None and ANSWER in text, (text, error)
        print(f"ok      shows the network's answer: {text}", flush=True)
        await page.socket.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
