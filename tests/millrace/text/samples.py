"""Texts that tests and calibration share.

All were written for this repository, in two manners: as a chat model writes by default, and as people write when nobody
edits them. They are few and of one hand: what is measured on them is no promise.
"""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "texts"
AI_TEXTS = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.txt"))]
"""The ten texts of docs/examples.md."""

MACHINE_LIKE = [
    "In today's rapidly evolving landscape, artificial intelligence is transforming the way businesses operate. "
    "It is not just about efficiency; it's about innovation. By leveraging data-driven insights, organizations "
    "can streamline operations, enhance customer experiences, and unlock new opportunities for growth. Moreover, "
    "these technologies foster a culture of continuous improvement. Ultimately, embracing change is crucial for "
    "long-term success.",
    "Effective communication plays a pivotal role in building strong relationships. It enables individuals to "
    "express their needs, resolve conflicts, and foster mutual understanding. Furthermore, active listening is "
    "essential for meaningful dialogue. By cultivating empathy, patience, and openness, people can navigate "
    "complex conversations with confidence. In conclusion, communication is the cornerstone of every successful "
    "relationship.",
    "Climate change represents one of the most pressing challenges of our time. Its effects are far-reaching, "
    "impacting ecosystems, economies, and communities worldwide. Addressing this multifaceted issue requires "
    "collaboration, innovation, and commitment. Additionally, governments must implement robust policies to "
    "mitigate emissions. Together, we can pave the way for a more sustainable, resilient, and equitable future.",
    "Regular exercise offers numerous benefits for both physical and mental health. It improves cardiovascular "
    "function, strengthens muscles, and boosts overall mood. Furthermore, it helps individuals manage stress and "
    "enhance sleep quality. It is important to note that consistency is key. By incorporating even small amounts "
    "of activity into your daily routine, you can embark on a journey toward a healthier lifestyle.",
    "Travel is more than just visiting new places; it is a transformative experience that broadens our horizons. "
    "From vibrant cities to serene landscapes, each destination offers a unique tapestry of culture, history, and"
    " tradition. Moreover, travel fosters empathy by exposing us to diverse perspectives. Whether you're a "
    "seasoned explorer or a first-time adventurer, the world is full of endless possibilities.",
    "Education is a powerful tool for empowering individuals and transforming societies. It equips learners with "
    "the knowledge, skills, and confidence needed to thrive in an ever-changing world. Additionally, education "
    "promotes critical thinking and fosters innovation. However, access remains a significant challenge in many "
    "regions. Ensuring inclusive, equitable, and high-quality education is therefore paramount.",
    "Our platform provides a comprehensive suite of tools designed to streamline your workflow. With an intuitive"
    " interface, powerful automation, and seamless integrations, you can focus on what truly matters. Whether "
    "you're a startup or an enterprise, our solution scales with your needs. Experience the difference today and "
    "unlock your team's full potential.",
    "Leadership is not merely about authority — it is about inspiring others to achieve a shared vision. Great "
    "leaders demonstrate integrity, resilience, and empathy. They foster collaboration, encourage innovation, and"
    " empower their teams to excel. Moreover, they recognize that failure is an essential part of growth. "
    "Ultimately, leadership is a journey of continuous learning.",
    "Time management is a crucial skill in both personal and professional contexts. By prioritizing tasks, "
    "setting clear goals, and minimizing distractions, individuals can significantly enhance their productivity. "
    "Furthermore, effective planning reduces stress and promotes a healthier work-life balance. It is worth "
    "noting that flexibility is equally important, as unexpected challenges may arise.",
    "The novel delves into themes of identity, memory, and belonging. Through its intricate narrative, the author"
    " weaves a rich tapestry of emotions that resonates with readers. The protagonist's journey serves as a "
    "powerful metaphor for self-discovery. Additionally, the vivid imagery underscores the delicate balance "
    "between hope and despair. It stands as a testament to the enduring power of storytelling.",
    "Sustainable agriculture is essential for ensuring food security in the coming decades. It encompasses a wide"
    " range of practices, including crop rotation, precision irrigation, and integrated pest management. These "
    "approaches not only enhance productivity but also protect biodiversity. Furthermore, they contribute to the "
    "resilience of rural communities. In summary, sustainable agriculture offers a pathway to a more secure "
    "future.",
    "Blockchain technology has emerged as a groundbreaking innovation with the potential to revolutionize various"
    " industries. By providing a decentralized, transparent, and secure framework, it facilitates trust among "
    "parties. Moreover, smart contracts automate processes and reduce costs. However, challenges such as "
    "scalability and regulation must be addressed in order to realize its full potential.",
]

HUMAN_TEXTS = [
    "The bus was late again. I stood there with Mrs. Kowalski's cat in a cardboard box, and the cat had opinions "
    "about it. Twenty minutes. When the 14 finally came the driver looked at the box, looked at me, and said "
    "animals ride free but not ones that swear. So we walked. It's two miles to the vet and she yelled the whole "
    "way, past the school, past the butcher, past a wedding.",
    "We shipped the parser on Tuesday and broke it on Wednesday. My fault: I'd assumed nobody puts tabs in a "
    "filename. Somebody in Oslo does, four thousand times. The fix is one line and the test for it is thirty, "
    "which tells you something about where I should have started. Anyway, 2.3.1 is out. If you pinned 2.3.0, "
    "unpin it.",
    "I am not going to pretend the soup was good. My grandmother made it with bones she'd bargained for, and I "
    "made it with a cube. But the kitchen smelled right for about ten minutes, and my brother came down and "
    "asked, without looking at me, whether there was any bread.",
    "Thanks for the draft. Two things. First, the budget in section 3 doesn't add up: I get 41,200, not 42,100, "
    "so somebody swapped digits. Second, can we lose the bit about synergy? The council will laugh at us. "
    "Otherwise fine, send it. I'm out Thursday, back Friday after lunch if the ferry runs.",
    "It rained all of May. By the second week the lower field was a pond with fence posts in it, and the heron "
    "that used to come once a month was there every morning, standing where the beans should have been. Dad said "
    "herons know something. He didn't say what. We planted late, on the ridge, and got about half.",
    "The court's reasoning here is thin. It cites Barlow for the idea that notice can be implied, but Barlow had "
    "a signed receipt; this tenant had a flyer under the door, maybe. Nobody checked. If a flyer is notice then "
    "so is shouting, and I doubt the legislature meant shouting.",
    "Look, the hotel is fine. Beds are clean, the shower takes a while to get hot, breakfast is eggs or eggs. "
    "What you're paying for is the terrace. Go up there at six with a beer and watch the swifts come in under the"
    " bridge. There's a man who sells figs by the church on Saturdays. Buy the small ones.",
    "Q: why not just use a queue? A: we did, for a year. Messages arrived twice, which we knew, and sometimes out"
    " of order, which we also knew, and once they arrived eleven days late, which nobody had told us was "
    "possible. Now it's a table and a cron job. Ugly. Hasn't paged anyone since March.",
    "My first boss never wrote anything down. He'd walk over, tap the bench twice, and say the number of the part"
    " he wanted, and if you asked him to repeat it he would, once, slower and louder. I learned 600 part numbers "
    "that way. I still know most of them. They don't make the machine anymore.",
    "Dear Ruth, the parcel came, minus one jar. The other two survived because you wrapped them in your awful "
    "scarf, which I am keeping. Peter has started school and hates it with great energy. He says the teacher "
    "smells of glue. I met her; she does. Write when the baby comes, or have Sam write, or just send the scarf's "
    "sister.",
    "Results were mixed. The coated samples lasted longer than we expected (a median of 212 hours, against 140 "
    "for the bare ones), but three of the twenty failed in the first hour and we don't know why. Under the "
    "microscope two of those show a scratch near the edge. The third looks perfect. I'd want fifty more before I "
    "said anything in public.",
    "Some people say you can't teach timing. I think you can, but only by letting somebody be bad at it in front "
    "of you for a long while. I watched Lena tell the same joke every night for a month. Around the third week "
    "she stopped hurrying. That was it, that was the whole lesson, and neither of us said a word about it.",
    "The committee approved the plan 5 to 2. Mr. Hale, who voted no, said the road would flood as it did in 1998;"
    " the engineer said the new culvert is twice as wide. Residents of Mill Lane asked about noise and were told "
    "to expect eight months of it. Work starts in April if the money comes.",
    "Install it, run it once with no arguments, and read what it prints. Most of the questions I get are answered"
    " there. If it says 'permission denied' you ran it as the wrong user. If it says nothing at all, that's a bug"
    " and I want to hear about it, with the version and your shell. Zsh people: yes, I know.",
    "Whales sleep, but not the way we do. Half the brain stays up to mind the breathing while the other half "
    "rests, and then they trade. A tired sperm whale hangs in the water like a post. Divers who have seen a group"
    " of them say it's like swimming into a church, and also that you should leave before one wakes.",
    "I've been asked to say something useful about grants, so here it is: apply early, and call the office. A "
    "person answers. She has read four hundred of these and she will tell you, if you're polite, which question "
    "everyone gets wrong. It's number nine. They want the total, not the yearly figure.",
]

OLD_PROSE = [
    # Declaration of Independence, 1776
    "We hold these truths to be self-evident, that all men are created equal, that they are endowed by their "
    "Creator with certain unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness. "
    "That to secure these rights, Governments are instituted among Men, deriving their just powers from the "
    "consent of the governed.",
    # Jane Austen, Pride and Prejudice, 1813
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want "
    "of a wife. However little known the feelings or views of such a man may be on his first entering a "
    "neighbourhood, this truth is so well fixed in the minds of the surrounding families, that he is considered "
    "as the rightful property of some one or other of their daughters.",
    # Charles Darwin, On the Origin of Species, 1859
    "When on board H.M.S. Beagle, as naturalist, I was much struck with certain facts in the distribution of the "
    "inhabitants of South America, and in the geological relations of the present to the past inhabitants of that"
    " continent. These facts seemed to me to throw some light on the origin of species, that mystery of "
    "mysteries, as it has been called by one of our greatest philosophers.",
    # Abraham Lincoln, Gettysburg, 1863
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in "
    "Liberty, and dedicated to the proposition that all men are created equal. Now we are engaged in a great "
    "civil war, testing whether that nation, or any nation so conceived and so dedicated, can long endure. We are"
    " met on a great battle-field of that war.",
    # Henry David Thoreau, Walden, 1854
    "I went to the woods because I wished to live deliberately, to front only the essential facts of life, and "
    "see if I could not learn what it had to teach, and not, when I came to die, discover that I had not lived. I"
    " did not wish to live what was not life, living is so dear; nor did I wish to practise resignation, unless "
    "it was quite necessary.",
    # Adam Smith, The Wealth of Nations, 1776
    "It is not from the benevolence of the butcher, the brewer, or the baker, that we expect our dinner, but from"
    " their regard to their own interest. We address ourselves, not to their humanity but to their self-love, and"
    " never talk to them of our own necessities but of their advantages.",
    # William Strunk, The Elements of Style, 1918
    "Vigorous writing is concise. A sentence should contain no unnecessary words, a paragraph no unnecessary "
    "sentences, for the same reason that a drawing should have no unnecessary lines and a machine no unnecessary "
    "parts. This requires not that the writer make all his sentences short, or that he avoid all detail and treat"
    " his subjects only in outline, but that every word tell.",
    # Herman Melville, Moby-Dick, 1851
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and "
    "nothing particular to interest me on shore, I thought I would sail about a little and see the watery part of"
    " the world. It is a way I have of driving off the spleen and regulating the circulation.",
]
"""Formal prose in the public domain, by other hands: held out of every fit."""

FAITHFUL_PAIRS = [
    (
        "In conclusion, the company was able to achieve revenue of $1,000,000 in 2023, which was an increase of "
        "five percent. It is important to note that Maria Lopez did not approve the second payment.",
        "Revenue reached $1 million in 2023, up 5%. Maria Lopez didn't approve the second payment.",
    ),
    (
        "Furthermore, the meeting will take place on March 5, 2024 at 3:00 pm in Berlin. We are not able to "
        "change the date.",
        "The meeting is on 5 March 2024 at 15:00 in Berlin. We can't change the date.",
    ),
    (
        "There are twenty-five participants, and the majority of them are from Canada. They utilize a 3-km track "
        "on a daily basis.",
        "There are 25 participants, most of them from Canada. They use a 3 km track every day.",
    ),
    (
        "The report, which was written by Dr. Chen, states that “growth will slow” and that 10 to 20% of the "
        "stores may close.",
        "Dr. Chen's report says that “growth will slow” and that 10–20% of the stores may close.",
    ),
    (
        "Not only is the tool fast, but it is also free. It does not store any data.",
        "The tool is fast and free. It stores no data.",
    ),
    (
        "One of the key advantages is that users do not need to install anything. Simply open "
        "https://app.example.com in your browser.",
        "Users don't need to install anything. Open https://app.example.com in your browser.",
    ),
    (
        "Several studies have demonstrated this effect [3, 4]. According to Smith et al. (2020), it lasts for two"
        " weeks.",
        "Several studies show this effect [3, 4]. Smith et al. (2020) say it lasts 2 weeks.",
    ),
    (
        "Everyone should take a break. Technology cannot replace rest, and people who never stop will burn out.",
        "Take breaks. Technology can't replace rest, and people who never stop burn out.",
    ),
    (
        "First and foremost, I would like to thank the three reviewers. Secondly, the two changes that they "
        "suggested have been made.",
        "First, thank you to the three reviewers. Both changes they suggested have been made.",
    ),
    (
        "The dose is 5 mg twice a day. Patients should not exceed 1.5 g per week.",
        "Take 5 mg twice a day, and not more than 1.5 g a week.",
    ),
    (
        "# Our Key Benefits\n\n- It is very fast.\n- It has the ability to scale.\n\nRun `make all` to start.",
        "# Our key benefits\n\n- It is fast.\n- It can scale.\n\nRun `make all` to start.",
    ),
    (
        "It goes without saying that there is no doubt the NASA team did a great job on Monday.",
        "The NASA team did a great job on Monday.",
    ),
    (
        "Businesses must adapt in order to survive. Leveraging data is crucial. Companies that fail to do so will"
        " lose half of their customers.",
        "Businesses must adapt to survive, and that means using data. Those that don't will lose half their customers.",
    ),
    (
        "The invoice amounts to EUR 12,500.00 and is due within thirty (30) days.",
        "The invoice is for €12,500 and is due within 30 days.",
    ),
    (
        "Please ask {{RED:the name of the patient}} about the pain, which started 3 days ago.",
        "Ask {{RED:the name of the patient}} about the pain. It started three days ago.",
    ),
    (
        "Moreover, the temperature should be kept between 20 and 25 degrees, and it must not fall below −5 °C at "
        "night.",
        "Keep the temperature between 20 and 25 degrees; it must not fall below −5 °C at night.",
    ),
]

FAITHFUL_PAIRS += [
    ("Anna was hired by Ben in May.", "Ben hired Anna in May."),
    ("The plan of Anna and Ben failed.", "The plan of Ben and Anna failed."),
    ("In Berlin, Anna met Tom.", "Anna met Tom in Berlin."),
    ("Anna joined Acme and Ben joined Apex.", "Ben joined Apex and Anna joined Acme."),
    (
        "In 2020, Anna joined Acme. In 2022, Ben joined Apex.",
        "Anna and Ben joined Acme and Apex in 2020 and 2022.",
    ),
    (
        "In 2020, Anna joined Acme. In 2022, Ben joined Apex.",
        "Ben joined Apex in 2022, and Anna joined Acme in 2020.",
    ),
    ("Costs rose 5% in spring and 7% in autumn.", "Costs rose 7% in autumn and 5% in spring."),
    ("This works [1]. That fails [2].", "That fails [2], but this works [1]."),
    ("You must sign it. It is necessary to date it.", "You have to sign and date it."),
    ("Visitors should report to the desk and must wear a badge.", "Report to the desk and wear a badge; you must."),
    ("It may be the case that it could fail.", "It could fail."),
    ("We sold 3 cars and 3 bikes.", "We sold three cars and three bikes."),
    ("There are 4 rooms and 4 beds, one bed in each room.", "There are 4 rooms with a bed in each."),
    ("According to Maria, Tom left; according to Tom, Maria left.", "Maria says Tom left, and Tom says Maria left."),
]

FAITHFUL_PAIRS += [
    ("It goes without saying that bread is good.", "Bread is good."),
    ("Pack tools, including but not limited to a saw.", "Pack tools, including a saw."),
    ("There is no question that bread is good.", "Bread is good."),
    ("Decide whether or not to go.", "Decide whether to go."),
    ("If you want bread, look no further than the shop.", "If you want bread, go to the shop."),
    ("1. Run this now:\n   ```\n   rm b\n   ```\nIt is done.", "1. Run this:\n\n```\nrm b\n```\n\nDone."),
    ("- ```\n  rm b\n  ```\nWe utilize rope.", "- ```\n  rm b\n  ```\nWe use rope."),
    ("The tool is free. It does not store any data.", "The tool is free and stores no data."),
    ("The plan is not good, but it works.", "The plan works, but it isn't good."),
    ("No patients recovered in the ward.", "Patients in the ward did not recover."),
    ("I do not think it is safe.", "I think it is not safe."),
    ("Anna is older than Tom.", "Tom is younger than Anna."),
    ("The drug is not safe.", "The drug is unsafe."),
    ("After she ate, she slept.", "She ate before she slept."),
    ("Every patient recovered.", "All patients recovered."),
    ("He wrote:\n\n> We will\n> not pay.\n", "He wrote this:\n\n> We will not pay.\n"),
    ("Smith and Jones did not sign.", "Neither Smith nor Jones signed."),
    ("We do not sell and do not share data.", "We neither sell nor share data."),
    ("It does not matter whether you pay.", "You may pay, whether you want to or otherwise."),
    ("Mix two cups of flour with one cup of sugar.", "Mix 2 cups of flour with a cup of sugar."),
    (
        "The committee approved the plan 5 to 2. Mr. Hale, who voted no, said the road would flood as it did in 1998; "
        "the engineer said the new culvert is twice as wide. Work starts in April if the money comes.",
        "By 5 to 2, the committee approved the plan. Mr. Hale voted no and said the road would flood, as in 1998. The "
        "engineer replied that the new culvert is twice as wide. If the money comes, work starts in April.",
    ),
    (
        "Patients should take 500 mg of the drug twice daily for at least 10 days. They must not take more than 2 g in "
        "a day. About a third of patients report nausea, and fewer than 5% stop treatment because of it.",
        "Patients should take 500 mg of the drug two times a day for 10 days or more, and must not exceed 2 g a day. "
        "Roughly a third of patients report nausea; under 5% stop treatment because of it.",
    ),
    (
        "The temperature must be kept below 8 °C at all times. If it rises above 8 °C for more than 30 minutes, "
        "discard the vaccine.",
        "Keep the temperature under 8 °C at all times. Discard the vaccine if it is above 8 °C for over 30 minutes.",
    ),
    (
        "Anna Schmidt founded the firm in 1999. Peter Novak joined it in 2004 and became its director in 2010.",
        "The firm was founded by Anna Schmidt in 1999. In 2004 Peter Novak joined; in 2010 he became director.",
    ),
    (
        "Emissions increased in Asia, and they decreased in Europe.",
        "Emissions decreased in Europe and increased in Asia.",
    ),
    (
        "The app doesn't collect location data. It does collect reports.",
        "The app collects reports, but no location data.",
    ),
    ("The law applies unless you pay.", "If you pay, the law does not apply."),
    ("I have no doubt that it works.", "It works."),
    ("Don't forget to lock it.", "Remember to lock it."),
    ("It is not impossible.", "It is possible."),
    ("It is 5, not 6.", "It is five, not six."),
    ("He was unaware of the change.", "He did not know of the change."),
]

FAITHFUL_PAIRS += [
    ("Think twice before you go.", "Think before you go."),
    ("Once you finish, go home.", "When you finish, go home."),
    ("The first half of the year was wet.", "The year began wet."),
    ("A third party sold it.", "Somebody else sold it."),
    ("It took over 5 years.", "It took 5 years."),
    ("At 5 mg a kilo a day it costs $5 a head.", "At 5 mg/kg/day it costs 5 dollars per person."),
]

FAITHFUL_PAIRS += [
    ("Invite no more than 5 people.", "Invite 5 or fewer people."),
    ("Give no less than 3 days' notice.", "Give 3 or more days' notice."),
    ("We need 5 or more people.", "We need no fewer than 5 people."),
    ("We don't know whether or not it works.", "We do not know whether it works."),
    ("Buy no more than 5 if you have over 10 points.", "Buy at most 5 if you have more than 10 points."),
    ("Last but not least, back up a minimum of 3 times.", "Finally, back up at least 3 times."),
    ("It costs $5 per user per month.", "It costs $5 per month per user."),
    ("It costs $5 per user per month.", "It costs $5 per month for each user."),
    ("Give 5 mg/kg per day.", "Give 5 mg per day per kg."),
    ("It costs $20 per user or $35 monthly.", "It costs $20 for each user or $35 per month."),
    ("They live in a 200-square-metre flat.", "They live in a flat of 200 square metres."),
    ("There was a 5-percentage-point rise.", "There was a rise of 5 percentage points."),
    ("It has 200 m2 of space.", "It has 200 m² of space."),
    ("The page is no longer available in Europe.", "The page is now unavailable in Europe."),
    ("The key is no longer valid for this site.", "The key is now invalid for this site."),
    ("It is far from clear whether users agree.", "It is unclear whether users agree."),
    ("No more than 3 people may enter.", "Only 3 people may enter."),
    ("Upload at most 10 files.", "Uploads are capped at 10 files."),
    ("More than 5,000 people came.", "Attendance surpassed 5,000 people."),
    ("Keep at least 5 copies.", "Keep a min. of 5 copies."),
    ("This will cut costs in half.", "This will halve costs."),
    ("The sofa doubles as a bed.", "The sofa also serves as a bed."),
    ("Anna, Tom and Ben attended.", "Ben, Tom and Anna attended."),
    ("Open ports 3, 5 and 7.", "Open ports 7, 5 and 3."),
    ("There were hundreds, if not thousands, of users.", "There were hundreds or even thousands of users."),
    ("Why not try it?", "Try it."),
    ("Nearly all users agreed.", "Most users agreed."),
    ("The report was written by Anna in 2019.", "Anna wrote the report in 2019."),
    ("There are approximately 50 people.", "There are about 50 people."),
    ("It isn't necessary to restart.", "You need not restart."),
    ("More than 5 users failed.", "Over 5 users failed."),
    ("At least 5 users failed.", "No fewer than 5 users failed."),
    ("She could not find the file.", "She was unable to find the file."),
]

PLANTED = [
    # kind, source, rewrite with one planted change
    ("number", "We sold 412 units to the shop.", "We sold 421 units to the shop."),
    ("number", "We sold 412 units to the shop.", "We sold units to the shop."),
    ("number", "We sold units to the shop.", "We sold 30 units to the shop."),
    ("number", "Revenue rose to $1.2 million in the year.", "Revenue rose to $1.3 million in the year."),
    ("number", "There were seven errors in the file.", "There were nine errors in the file."),
    ("number", "The ratio was 3.14 in both runs.", "The ratio was 3.41 in both runs."),
    ("number", "Ten men and twenty women came.", "Twenty men and ten women came."),
    ("number", "It fell to -4 overnight, they said.", "It fell to 4 overnight, they said."),
    ("number", "Use version 2.3.1 of the tool.", "Use version 2.4.1 of the tool."),
    ("number", "About 1 in 1,000 people react.", "About 1 in 10,000 people react."),
    ("number", "Take it twice a day.", "Take it once a day."),
    ("number", "Sales doubled in spring.", "Sales tripled in spring."),
    ("number", "It helped a third of patients.", "It helped a quarter of patients."),
    ("number", "It helped two thirds of patients.", "It helped three quarters of patients."),
    ("number", "Half of the men left.", "A third of the men left."),
    (
        "number",
        "Take 10 mg of aspirin and 20 mg of ibuprofen.",
        "Take 20 mg of aspirin and 10 mg of ibuprofen.",
    ),
    ("number", "Sales rose 5% in May and fell 7% in June.", "Sales rose 7% in May and fell 5% in June."),
    ("number", "We have 5 bags of sand and 7 bags of lime.", "We have 7 bags of sand and 5 bags of lime."),
    ("number", "Take at least 5 mg.", "Take at most 5 mg."),
    ("number", "Take at least 5 mg now.", "Take 5 mg now."),
    ("number", "Keep BP < 120 now.", "Keep BP > 120 now."),
    ("number", "We saw more than 50 people.", "We saw fewer than 50 people."),
    ("number", "It takes up to 5 days.", "It takes at least 5 days."),
    ("number", "It is over 5 km.", "It is under 5 km."),
    ("number", "It must not exceed 5 mg.", "It must be 5 mg."),
    ("negation", "It must not exceed 5 mg.", "It must exceed 5 mg."),
    ("date", "The fair opens on March 5, 2024.", "The fair opens on March 6, 2024."),
    ("date", "The fair opens on March 5, 2024.", "The fair opens on 5 March 2025."),
    ("date", "Come on Tuesday at noon.", "Come on Thursday at noon."),
    ("date", "The train leaves at 15:30 sharp.", "The train leaves at 15:20 sharp."),
    ("date", "Call me at 3 pm about it.", "Call me at 3 am about it."),
    ("date", "They met in November for a week.", "They met in December for a week."),
    ("date", "The log begins 2024-01-09 and ends soon.", "The log begins 2024-01-19 and ends soon."),
    ("name", "I spoke with Alice Smith about it.", "I spoke with Alice Jones about it."),
    ("name", "I spoke with Alice about it.", "I spoke with her about it."),
    ("name", "They moved to the coast of Portugal.", "They moved to the coast of Spain."),
    ("name", "Anna paid the bill and left.", "Maria paid the bill and left."),
    ("name", "The team uses GPT-4o for the draft.", "The team uses GPT-5 for the draft."),
    ("name", "We bought it from Acme Corp last year.", "We bought it from Apex Corp last year."),
    ("name", "The probe was sent by NASA to look.", "The probe was sent by ESA to look."),
    ("name", "Anna paid Ben for the work.", "Ben paid Anna for the work."),
    ("name", "Last year Alice Smith sued Acme Corp in Ohio.", "Last year Acme Corp sued Alice Smith in Ohio."),
    ("name", "Maria's report praises Tom's.", "Tom's report praises Maria's."),
    ("name", "Anna lives in Berlin. Tom lives in Paris.", "Anna lives in Paris. Tom lives in Berlin."),
    ("number", "Anna earns $50. Tom earns $60.", "Anna earns $60. Tom earns $50."),
    ("number", "| Anna | 5 |\n| Tom | 7 |", "| Anna | 7 |\n| Tom | 5 |"),
    ("date", "The fair opens on March 5 and closes on May 3.", "The fair opens on May 3 and closes on March 5."),
    ("date", "On Monday we met Anna; on Friday we met Tom.", "On Friday we met Anna; on Monday we met Tom."),
    ("citation", "This works [1]. That fails [2].", "This works [2]. That fails [1]."),
    ("url", "See [docs](https://a.b) and [blog](https://c.d).", "See [docs](https://c.d) and [blog](https://a.b)."),
    ("modal", "You must close the valve first.", "You should close the valve first."),
    ("modal", "Staff may park in the yard.", "Staff must park in the yard."),
    ("modal", "All visitors are required to sign in.", "All visitors might sign in."),
    (
        "number",
        "We have 3 servers in Berlin and 3 routers in Lisbon.",
        "We have 3 servers in Berlin and routers in Lisbon.",
    ),
    ("quote", "She said “we will not pay” twice.", "She said “we will pay” twice."),
    ("quote", 'He called it "a great loss" then.', 'He called it "a small loss" then.'),
    ("quote", "She said they would pay twice.", "She said “they would pay” twice."),
    ("url", "See https://x.org/a for the list.", "See https://x.org/b for the list."),
    ("url", "See [docs](https://x.org/a) for it.", "See docs for it."),
    ("url", "Write to ann@x.org for help.", "Write to ann@y.org for help."),
    ("code", "Run `make all` to build it.", "Run `make test` to build it."),
    ("code", "Run this:\n\n```\nmake all\n```\n", "Run this:\n\n```\nmake any\n```\n"),
    ("code", "1. Run:\n   ```\n   rm build\n   ```", "1. Run:\n   ```\n   rm src\n   ```"),
    ("code", "- ```sh\n  rm build\n  ```\n- Go home.", "- ```sh\n  rm src\n  ```\n- Go home."),
    ("code", "~~~\nrm build", "~~~\nrm src"),
    ("citation", "This was shown before [12].", "This was shown before [13]."),
    ("citation", "This holds (Smith et al., 2020) in mice.", "This holds in mice."),
    ("citation", "This was shown before.", "This was shown before [1]."),
    ("negation", "The drug is not safe for children.", "The drug is safe for children."),
    ("negation", "The drug is safe for children.", "The drug isn't safe for children."),
    ("negation", "They never replied to the letter.", "They replied to the letter."),
    ("negation", "Do not open the valve.", "Open the valve."),
    ("negation", "The plan has no risk at all.", "The plan has risk at all."),
    ("negation", "You cannot leave without a pass.", "You can leave with a pass."),
    ("negation", "Do not stop taking the tablets.", "Stop taking the tablets."),
    ("negation", "The vaccine did not prevent infection.", "The vaccine prevented infection."),
    (
        "negation",
        "Avoid alcohol. The patient is not allergic to penicillin.",
        "Avoid alcohol. The patient is allergic to penicillin.",
    ),
    ("negation", "Avoid alcohol. The drug is safe.", "Avoid alcohol. The drug is not safe."),
    ("negation", "Not all patients recovered.", "All patients recovered."),
    ("negation", "No further treatment is needed.", "Further treatment is needed."),
    ("negation", "If not treated, it is fatal.", "If treated, it is fatal."),
    ("negation", "Access is not limited to staff.", "Access is limited to staff."),
    ("negation", "There is no doubt that it works.", "There is doubt that it works."),
    ("negation", "Only staff may enter.", "Not only staff may enter."),
    ("negation", "They make no profit.", "They make profit."),
    (
        "negation",
        "The drug is not safe for children, but it works for adults.",
        "The drug is safe for children, but it does not work for adults.",
    ),
    ("negation", "Tea is not cheap. Bread is good.", "Tea is cheap. Bread is not good."),
    ("negation", "All patients recovered.", "Some patients recovered."),
    ("negation", "Take it before meals.", "Take it after meals."),
    ("negation", "The risk increased in spring.", "The risk decreased in spring."),
    ("negation", "The drug is safe.", "The drug is unsafe."),
    ("negation", "The vote was rejected.", "The vote was approved."),
    ("negation", "He has hypertension.", "He has hypotension."),
    ("quote", "He wrote:\n\n> We will\n> not pay.\n", "He wrote:\n\n> We shall not pay.\n"),
    ("negation", "It is not uncommon.", "It is uncommon."),
    ("negation", "Don't forget to lock it.", "Forget to lock it."),
    ("negation", "She has no doubt.", "She has doubt."),
    ("negation", "He left in 2019, not 2018.", "He left in 2018, not 2019."),
    ("negation", "The law applies unless you pay.", "The law applies if you pay."),
    ("negation", "Turn the valve to the left.", "Turn the valve to the right."),
    ("negation", "The plan failed.", "The plan worked."),
    ("number", "The shop is open from 9 to 5.", "The shop is open from 5 to 9."),
    ("number", "The top 10% earn half.", "The top 10% earn a third."),
    ("unit", "They own 50 acres.", "They own 50 hectares."),
    ("unit", "Add 120 mmol now.", "Add 120 mol now."),
    ("unit", "Give 5 mg/kg now.", "Give 5 mg/day now."),
    ("unit", "Take it once a day.", "Take it once a week."),
    ("unit", "Take 3 tablets a day.", "Take 3 tablets a week."),
    ("unit", "It is 5 square meters.", "It is 5 cubic meters."),
    ("unit", "It is 5 km².", "It is 5 m²."),
    ("unit", "It rose 5 percentage points.", "It rose 5 percent."),
    ("unit", "Walk for 5 km along the river.", "Walk for 5 miles along the river."),
    ("unit", "Take 20 mg in the morning.", "Take 20 g in the morning."),
    ("unit", "It costs $40 a month.", "It costs €40 a month."),
    ("unit", "It takes 3 hours to bake.", "It takes 3 days to bake."),
    ("unit", "Sales grew 5% in spring.", "Sales grew 5 in spring."),
    ("structure", "# Title\n\nSome text here.", "Title\n\nSome text here."),
    ("structure", "- one thing\n- two things\n- more", "- one thing\n- two things and more"),
    ("structure", "| a | b |\n|---|---|\n| c | d |", "a b c d"),
    ("structure", "1. Wash\n2. Dry", "- Wash\n- Dry"),
    ("marker", "Ask {{RED:dose}} first.", "Ask dose first."),
    ("marker", "Ask {{RED:dose}} first.", "Ask {{RED:date}} first."),
    ("empty", "Something was here.", " \n"),
    ("length", " ".join(["The cat sat on a mat in the sun today."] * 8), "The cat sat on a mat."),
    ("length", "The cat sat on a mat.", " ".join(["The cat sat on a mat in the sun today."] * 8)),
    (
        "similarity",
        "The committee discussed the new bridge and agreed to repair the northern ramp before winter comes.",
        "Bread tastes best when the dough rests overnight and the oven is heated for an hour beforehand.",
    ),
]
